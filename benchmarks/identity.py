"""Whether ids last: growth, deletion, new kinds, newcomers, crashes; on a folder of labelled images (one folder each).

    python benchmarks/identity.py LABELLED [--outliers FOLDER] [--model starter] [--kills 20] [--json FILE]

Starts servers on a temporary folder, drives them with the client, does the same with the peer of ``stock_pipeline.py``
(same model, same libraries), and prints one table. The peer stands there twice: with its labels as they fall, and with
those of each new fit matched to the ones before by maximum-weight assignment, which it does not do by itself. Splits,
classes and moments are drawn with a fixed seed; the peer itself has none, as in its documentation.

Id figures count the images that are in a cluster both times. An id is touched if nothing has it any more, or if an
image left it for another id or came to it from another one. Writes are the images whose stored id is changed. The
bounds are for caltech30 and the starter model; the exit status is 1 if one is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from claims import Claim, judged
from contestants import Contestant, ShoalContestant, StockContestant, StockFits
from driver import served
from figures import ended, json_option
from kills import killed
from scenarios import Column, arrivals, departures, drawn, growth, held_back, side_by_side, strangers
from stock_pipeline import Embedded, embed, engine_of
from table import head, introduction, kept_rows, percent, pictures, row

SEED = 7
#: Classes that are deleted, or come late.
MOVING = 3
#: Classes that are held out to be recognised as strange.
UNSEEN = 5
_GROWN = "10 % added to 90 %"
_STEPS = "50 % to 100 %"
CLAIMS = (
    Claim((_GROWN,), "Images keep their cluster's id when a tenth comes in.", 98, unit=" %"),
    Claim((_GROWN, "... payload writes"), "Little is written then.", 15, at_least=False, unit=" %"),
    Claim(
        ("the 10 %: id when they came",),
        "The id that an image gets when it comes is the one it has after clustering again.",
        2,
        unit=" points",
        beside=3,
    ),
    Claim((_STEPS, "... at the least"), "They keep it at each of five such steps.", 96, unit=" %"),
    Claim((f"{UNSEEN} unseen",), "Images of unseen kinds stand out by their outlier score.", 0.90),
)


def main() -> int:
    """Runs all of it; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path, help="a folder with a folder for each label")
    parser.add_argument("--outliers", type=Path, help="a folder of images that belong to no label")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--kills", type=int, default=20, help="how often the server is killed while it writes ids")
    json_option(parser)
    options = parser.parse_args()
    began = time.monotonic()
    files = pictures(options.labelled)
    outliers = [] if options.outliers is None else pictures(options.outliers)
    introduction(files, options.model)
    embedded = embed(engine_of(options.model), [*files, *outliers])
    with tempfile.TemporaryDirectory(prefix="shoal-identity-") as folder, kept_rows() as rows:
        head("Shoal", "stock pipeline", "stock, ids matched")
        measure(Path(folder), options.model, files, outliers, embedded)
        if options.kills:
            kill(Path(folder) / "growth", options.model, options.kills)
    survived = Claim(("kill -9 at",), "Ids are right after every crash in the middle of writing them.", options.kills)
    return ended(judged((*CLAIMS, survived), tuple(rows), time.monotonic() - began), options.json)


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
    sys.exit(main())
