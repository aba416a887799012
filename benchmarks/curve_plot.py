"""The cost curves as a picture: time and memory against the number of images, all axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from growth_law import fitted


class Measured(Protocol):
    """What is drawn of a point."""

    @property
    def n(self) -> int:
        """Images."""
        ...

    @property
    def cost(self) -> float:
        """Time."""
        ...

    @property
    def memory(self) -> int:
        """Bytes."""
        ...


#: Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), which people tell apart whatever colours they see, and
#: markers and dashes for those who print in grey.
_LOOK = {
    "ingest": ("#0072B2", "o", "-"),
    "store": ("#E69F00", "s", "--"),
    "search": ("#009E73", "^", "-."),
    "recluster": ("#D55E00", "D", ":"),
}


def draw(file: Path, curves: Mapping[str, Sequence[Measured]]) -> None:
    """Writes an SVG file; the same points give the same bytes.

    Args:
        file: where to.
        curves: the points of each curve, by its name; those of ``search`` in milliseconds, the others' in seconds.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Text stays text, small and searchable; the salt makes the ids of clipping paths the same each time.
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "shoal", "font.size": 11, "font.family": "sans-serif"}
    ):
        figure = Figure(figsize=(10, 4.4), layout="constrained")
        times, memories = figure.subplots(1, 2)
        for name, points in curves.items():
            if points:
                _line(times, name, [point.n for point in points], [_seconds(name, point) for point in points])
                _line(
                    memories, name, [point.n for point in points], [point.memory / 1e9 for point in points], law=False
                )
        _axes(times, "seconds (search: one query)")
        _axes(memories, "peak memory, GB")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    text = file.read_text(encoding="utf-8")
    file.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def _seconds(name: str, point: Measured) -> float:
    return point.cost / 1000 if name == "search" else point.cost


def _line(axes: Any, name: str, numbers: list[int], values: list[float], *, law: bool = True) -> None:
    colour, marker, dashes = _LOOK[name]
    label = name
    if law and len(set(numbers)) > 1:
        label = f"{name}, slope {fitted(list(zip(numbers, values, strict=True))).slope:.2f}"
    axes.plot(numbers, values, color=colour, marker=marker, linestyle=dashes, label=label)


def _axes(axes: Any, what: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("images")
    axes.set_ylabel(what)
    axes.grid(visible=True, which="major", color="#DDDDDD")
    axes.legend(frameon=False)
