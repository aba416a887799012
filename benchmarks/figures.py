"""What a benchmark found, as a file that ``run_all.py`` collects."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One figure of a benchmark.

    Attributes:
        name: of a few words, and no other of the benchmark's.
        claim: what is said of Shoal, as a sentence.
        bound: what the value must keep, as shown; empty where none is set.
        value: what came out, as shown.
        met: whether the bound was kept; None where there is none, or where it cannot be said here.
        rows: the table behind it, the first row its headings.
        seconds: that measuring it took.
    """

    name: str
    claim: str
    bound: str
    value: str
    met: bool | None
    rows: Sequence[Sequence[str]] = field(default_factory=tuple)
    seconds: float = 0.0


def json_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json FILE``."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")


def ended(figures: Sequence[Figure], file: Path | None) -> int:
    """Writes the figures and tells those that were missed.

    Args:
        figures: all of the benchmark.
        file: where to; None: nowhere.

    Returns:
        The exit status: 1 if a bound was missed.
    """
    if file is not None:
        file.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n", encoding="utf-8")
    missed = [figure for figure in figures if figure.met is False]
    for figure in missed:
        print(f"missed: {figure.name}: {figure.value}, and {figure.bound} is wanted", flush=True)
    return 1 if missed else 0
