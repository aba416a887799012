"""Prints what Shoal and some extras need by pyproject.toml, a line each: an image's layer of it outlives new code.

python requirements.py server,s3 > requirements.txt
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(project: Path, extras: list[str]) -> list[str]:
    """The dependencies and those of the extras, in the file's order.

    Raises:
        SystemExit: there is no such extra.
    """
    described = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    optional: dict[str, list[str]] = described["optional-dependencies"]
    if unknown := [extra for extra in extras if extra not in optional]:
        raise SystemExit(f"no extra {', '.join(unknown)}; there are {', '.join(optional)}")
    return [*described["dependencies"], *(each for extra in extras for each in optional[extra])]


if __name__ == "__main__":
    sys.stdout.writelines(f"{each}\n" for each in requirements(Path("pyproject.toml"), sys.argv[1].split(",")))
