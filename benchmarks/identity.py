"""Whether ids last: growth, deletion, new kinds, newcomers, crashes; on a folder of labelled images (one folder each).

    python benchmarks/identity.py LABELLED [--outliers FOLDER] [--model starter] [--kills 20]

Starts servers on a temporary folder, drives them with the client, does the same with the peer of ``stock_pipeline.py``
(same model, same libraries), and prints one table. The peer stands there twice: with its labels as they fall, and with
those of each new fit matched to the ones before by maximum-weight assignment, which it does not do by itself. Splits,
classes and moments are drawn with a fixed seed; the peer itself has none, as in its documentation.

Id figures count the images that are in a cluster both times. An id is touched if nothing has it any more, or if an
image left it for another id or came to it from another one. Writes are the images whose stored id is changed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from contestants import Contestant, ShoalContestant, StockContestant, StockFits
from driver import served
from kills import killed
from scenarios import Column, arrivals, departures, drawn, growth, held_back, side_by_side, strangers
from stock_pipeline import Embedded, embed, engine_of
from table import head, introduction, percent, pictures, row

SEED = 7
#: Classes that are deleted, or come late.
MOVING = 3
#: Classes that are held out to be recognised as strange.
UNSEEN = 5


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="a folder with a folder for each label")
    parser.add_argument("--outliers", type=Path, help="a folder of images that belong to no label")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--kills", type=int, default=20, help="how often the server is killed while it writes ids")
    options = parser.parse_args()
    files = pictures(options.labelled)
    outliers = [] if options.outliers is None else pictures(options.outliers)
    introduction(files, options.model)
    embedded = embed(engine_of(options.model), [*files, *outliers])
    head("Shoal", "stock pipeline", "stock, ids matched")
    with tempfile.TemporaryDirectory(prefix="shoal-identity-") as folder:
        measure(Path(folder), options.model, files, outliers, embedded)
        if options.kills:
            kill(Path(folder) / "growth", options.model, options.kills)


def measure(folder: Path, model: str, files: Sequence[Path], outliers: Sequence[Path], embedded: Embedded) -> None:
    """The rows that have peers."""
    leaving, late = drawn(files, MOVING, SEED), drawn(files, UNSEEN, SEED + 1)
    fits = StockFits(embedded)
    with contestants(folder / "held back", model, fits) as three:
        show(three, lambda each: held_back(each, files, SEED))
    with contestants(folder / "growth", model, fits) as three:
        show(three, lambda each: growth(each, files, SEED))
        show(three, lambda each: departures(each, files, leaving))
    with contestants(folder / "strangers", model, fits) as three:
        # Matching changes nothing about how strange something is.
        show(three[:2], lambda each: strangers(each, files, late, outliers, SEED), "as before")
        strangers(three[2], files, late, (), SEED)
        show(three, lambda each: arrivals(each, files, late[:MOVING]))


@contextmanager
def contestants(folder: Path, model: str, fits: StockFits) -> Iterator[tuple[Contestant, Contestant, Contestant]]:
    """All three, empty."""
    with served(folder, model) as shoal:
        yield ShoalContestant(shoal), StockContestant(fits, matches=False), StockContestant(fits, matches=True)


def show(those: Sequence[Contestant], scenario: Callable[[Contestant], Column], *others: str) -> None:
    """Plays a scenario with each, and shows its rows."""
    for cells in side_by_side([scenario(each) for each in those]):
        row(*cells, *others)


def kill(folder: Path, model: str, kills: int) -> None:
    """The row about crashes."""
    survived = killed(folder, model, kills, SEED)
    row(
        f"kill -9 at {kills} random moments of writing {percent(survived.share)} of the ids "
        f"({survived.seconds * 1000:.0f} ms): all ids the active run's after restart",
        f"{survived.right} of {kills} ({survived.halfway} hit while ids were written)",
        *("-", "-"),
    )


if __name__ == "__main__":
    main()
