"""Progress bars, on stderr and only where somebody sees them."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from shoal_client.cli.output import error_console
from shoal_client.results import ClusteringRun, RunStage

STAGES = {
    RunStage.UNKNOWN: "waiting",
    RunStage.READING: "reading the vectors",
    RunStage.NEIGHBORS: "finding neighbours",
    RunStage.REDUCING: "reducing dimensions",
    RunStage.GROUPING: "finding groups",
    RunStage.MAPPING: "laying out the map",
    RunStage.ASSIGNING: "assigning the others",
    RunStage.MATCHING: "matching ids, naming",
    RunStage.WRITING: "writing changed ids",
}


class RateColumn(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before there is one."""
        return Text("" if task.speed is None else f"{task.speed:.1f} images/s")


def image_progress(console: Console) -> Progress:
    """A bar with the count, the rate and the time left; what is printed on the console goes above it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
    )


class RunProgress:
    """A bar that follows a clustering run; a context manager."""

    def __init__(self) -> None:
        error = error_console()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=error,
            disable=not error.is_terminal,
        )
        self._task = self._progress.add_task(STAGES[RunStage.UNKNOWN], total=1.0, left="")

    def __enter__(self) -> RunProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, run: ClusteringRun) -> None:
        """Shows how far the run is."""
        self._progress.update(
            self._task, description=STAGES[run.stage], completed=run.progress, left=time_left(run.remaining)
        )


def time_left(remaining: timedelta | None) -> str:
    """An estimate in words, no finer than it deserves; empty if there is none."""
    if remaining is None:
        return ""
    seconds = remaining.total_seconds()
    if seconds < 5:
        return "a few seconds left"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {seconds / 3600:.1f} h left"
