"""What ``run_all.py`` keeps of each benchmark: one JSON file, which says what ran, where, when, and what came out."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from figures import Figure

_LIBRARIES = (
    *("torch", "open-clip-torch", "onnxruntime", "transformers", "sentence-transformers", "timm", "pillow"),
    *("numpy", "scipy", "scikit-learn", "numba", "umap-learn", "hdbscan", "usearch", "faiss-cpu", "pynndescent"),
    *("qdrant-client", "qdrant-edge-py", "grpcio", "protobuf", "ray", "bertopic", "evoc", "fastembed", "infinity-emb"),
)


@dataclass(frozen=True)
class Outcome:
    """One run of one benchmark.

    Attributes:
        name: the benchmark's.
        command: that gives these figures alone, with ``DATA`` for the folder of data sets.
        quick: whether it was the short form.
        started_at: ISO 8601.
        seconds: how long it took.
        figures: in its order; empty if it failed.
        failure: what went wrong, in words; empty if nothing did.
        machine: what it ran on.
        versions: of Python and of the libraries that were installed.
    """

    name: str
    command: str
    quick: bool
    started_at: str
    seconds: float
    figures: tuple[Figure, ...]
    failure: str
    machine: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def this_machine() -> dict[str, str]:
    """Processor, cores, memory and system."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": _system(),
    }


def installed_versions() -> dict[str, str]:
    """Python's, and those of the libraries that matter and are installed."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def keep(folder: Path, outcome: Outcome) -> None:
    """Writes an outcome in place of the benchmark's last one."""
    part = folder / f"{outcome.name}.part"
    part.write_text(json.dumps(asdict(outcome), indent=1) + "\n", encoding="utf-8")
    part.replace(folder / f"{outcome.name}.json")


def kept(folder: Path, name: str) -> Outcome | None:
    """The last outcome of a benchmark; None if there is none."""
    file = folder / f"{name}.json"
    if not file.exists():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    return Outcome(**content | {"figures": tuple(read_figures(content["figures"]))})


def read_figures(content: object) -> list[Figure]:
    """Figures as a benchmark writes them.

    Args:
        content: a list of objects with the fields of :class:`Figure`; values and cells may be numbers, rows objects.

    Raises:
        ValueError: it is nothing of the kind.
    """
    if not isinstance(content, list):
        raise ValueError(f"figures are a list, not {type(content).__name__}")
    return [_figure(each) for each in content]


def _figure(each: object) -> Figure:
    if not isinstance(each, Mapping) or not {"name", "claim", "bound", "value", "met"} <= each.keys():
        raise ValueError(
            f"a figure has a name, a claim, a bound, a value and whether it is met, but this is {each!r:.80}"
        )
    return Figure(
        name=str(each["name"]),
        claim=str(each["claim"]),
        bound=_shown(each["bound"]),
        value=_shown(each["value"]),
        met=None if each["met"] is None else bool(each["met"]),
        rows=_rows(each.get("rows") or ()),
        seconds=float(each.get("seconds") or 0.0),
    )


def _rows(rows: Iterable[Any]) -> list[list[str]]:
    """Rows of cells, the headings first."""
    rows = list(rows)
    if rows and all(isinstance(each, Mapping) for each in rows):
        headings = list(dict.fromkeys(key for each in rows for key in each))
        return [headings, *([_shown(each.get(key)) for key in headings] for each in rows)]
    return [[_shown(cell) for cell in each] if isinstance(each, (list, tuple)) else [_shown(each)] for each in rows]


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    return f"{name}, {platform.machine()}"
