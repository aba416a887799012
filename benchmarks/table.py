"""The tables that the benchmarks print, row by row, and what stands above them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("torch", "umap-learn", "hdbscan", "qdrant-edge-py")

_kept: ContextVar[list[list[str]] | None] = ContextVar("rows", default=None)


@contextmanager
def kept_rows() -> Iterator[list[list[str]]]:
    """Keeps what is shown for the time of the context, headings too: a list of cells for each row."""
    rows: list[list[str]] = []
    token = _kept.set(rows)
    try:
        yield rows
    finally:
        _kept.reset(token)


def row(what: str, *cells: str) -> None:
    """Shows a row as soon as it is known."""
    print(f"| {' | '.join((what, *cells))} |", flush=True)
    if (kept := _kept.get()) is not None:
        kept.append([what, *cells])


def head(*columns: str) -> None:
    """Begins a table."""
    row("", *columns)
    print("|---" * (1 + len(columns)) + "|", flush=True)


def introduction(labelled: Sequence[Path], model: str) -> None:
    """The machine, the libraries and the data."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}")
    print(f"{len(labelled)} images in {len({file.parent for file in labelled})} labels, model {model}\n", flush=True)


def percent(share: float) -> str:
    """A share, 0 to 1, as shown."""
    return f"{share:.1%}"


def listed(values: Iterable[object]) -> str:
    """Several values in a cell."""
    return ", ".join(map(str, values))


def pictures(folder: Path) -> list[Path]:
    """The files of a folder and of its folders."""
    return sorted(path.resolve() for path in folder.rglob("*") if path.is_file())
