"""All benchmarks, one after another, and ``docs/benchmarks.md`` from what they found.

    python benchmarks/run_all.py [--quick] [--only NAME ...] [--data DATA] [--results DIR] [--again] [--write]

Each runs as a process of its own. What it found is kept in the results' folder with the date, the machine and the
versions; what is there already is not run again, unless it failed, or was short where the full form is wanted. So an
interrupted run goes on. The page is written from the published results, ``benchmarks/results``, which what was run
here replaces: one benchmark that is run again leaves the others on the page, with the machine that they ran on. A
benchmark that fails is on the page as failed. The exit status is 1 if one failed or missed a bound.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from catalogue import BENCHMARKS, DATA, KEPT, Benchmark
from collected import Outcome, installed_versions, keep, kept, read_figures, this_machine
from figures import Figure
from report import rendered

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PUBLISHED = ROOT / "benchmarks" / "results"
#: Seconds that a benchmark may take, in its short and in its full form.
_PATIENCE = {True: 1800.0, False: 6 * 3600.0}
#: Seconds that it has to clean up once it is told to end.
_GRACE = 20.0


def main() -> int:
    """Runs what is missing and writes the page; 1 if something failed or was missed."""
    options = _options()
    for folder in (options.results, options.published):
        folder.mkdir(parents=True, exist_ok=True)
    chosen = [each for each in BENCHMARKS if not options.only or each.name in options.only]
    try:
        for each in chosen if not options.write else ():
            if options.again or not _done(kept(options.results, each.name), quick=options.quick):
                print(f"{each.name}: {each.about}", flush=True)
                outcome = run(each, options)
                keep(options.results, outcome)
                print(f"{each.name}: {told(outcome)}\n", flush=True)
    except KeyboardInterrupt:
        print("interrupted; what is there is written, and the same command goes on", file=sys.stderr)
    for each in BENCHMARKS:
        if (own := kept(options.results, each.name)) is not None:
            keep(options.published, own)
    found = {each.name: kept(options.published, each.name) for each in BENCHMARKS}
    outcomes = {name: outcome for name, outcome in found.items() if outcome is not None}
    options.page.write_text(rendered(BENCHMARKS, outcomes), encoding="utf-8")
    mine = [outcomes[each.name] for each in chosen if each.name in outcomes]
    for each_of_mine in mine:
        print(f"{each_of_mine.name}: {told(each_of_mine)}")
    return 0 if mine and all(passed(outcome) for outcome in mine) else 1


def run(benchmark: Benchmark, options: argparse.Namespace) -> Outcome:
    """Runs one benchmark; whatever it does, there is an outcome."""
    arguments = benchmark.arguments(quick=options.quick)
    began, started_at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="shoal-figures-") as folder:
        file = Path(folder) / "figures.json"
        log = options.results / f"{benchmark.name}.log"
        failure = _carried_out(benchmark, arguments, file, log, options)
        figures: tuple[Figure, ...] = ()
        if not failure:
            try:
                figures = tuple(read_figures(json.loads(file.read_text(encoding="utf-8"))))
            except (OSError, ValueError) as error:
                failure = f"its figures cannot be read: {_public(str(error), options)}"
    return Outcome(
        name=benchmark.name,
        command=_command(benchmark, arguments),
        quick=options.quick,
        started_at=started_at,
        seconds=time.monotonic() - began,
        figures=figures,
        failure=failure,
        machine=this_machine(),
        versions=installed_versions(),
    )


def passed(outcome: Outcome) -> bool:
    """Whether it ran, and kept all its bounds."""
    return not outcome.failure and all(figure.met is not False for figure in outcome.figures)


def told(outcome: Outcome) -> str:
    """An outcome in one line."""
    if outcome.failure:
        return f"failed: {outcome.failure}"
    missed = [figure.name for figure in outcome.figures if figure.met is False]
    return f"{len(outcome.figures)} figures" + (f", missed: {', '.join(missed)}" if missed else ", none missed")


def _done(outcome: Outcome | None, *, quick: bool) -> bool:
    return outcome is not None and not outcome.failure and (quick or not outcome.quick)


def _carried_out(
    benchmark: Benchmark, arguments: Sequence[str], file: Path, log: Path, options: argparse.Namespace
) -> str:
    """What went wrong, in words; empty if figures are there, kept or missed."""
    script = ROOT / "benchmarks" / f"{benchmark.name}.py"
    if not script.exists():
        return f"there is no benchmarks/{benchmark.name}.py"
    real = {DATA: str(options.data.resolve()), KEPT: str((options.results / benchmark.name).resolve())}
    command = [sys.executable, str(script), *(_filled_in(each, real) for each in arguments), "--json", str(file)]
    patience = options.patience or _PATIENCE[options.quick]
    with log.open("w", encoding="utf-8") as output:
        # A group of its own: a benchmark's servers end with it.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True)
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"it had not ended after {patience:.0f} s"
        except KeyboardInterrupt:
            _end(process)
            raise
    if status in (0, 1) and file.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"it ended with {status}: {_public(last, options)}"


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _filled_in(argument: str, real: dict[str, str]) -> str:
    head, slash, rest = argument.partition("/")
    return real.get(head, head) + slash + rest


def _command(benchmark: Benchmark, arguments: Sequence[str]) -> str:
    own = {KEPT: f".benchmarks/{benchmark.name}"}
    return " ".join(["python", f"benchmarks/{benchmark.name}.py", *(_filled_in(each, own) for each in arguments)])


def _public(text: str, options: argparse.Namespace) -> str:
    """A text without the places of this installation."""
    places = ((str(options.data.resolve()), DATA), (str(ROOT), "."), (tempfile.gettempdir(), "TMP"))
    for place, name in (*places, (sys.prefix, "PYTHON"), (str(Path.home()), "~")):
        text = text.replace(place, name)
    return text[:300]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [each.name for each in BENCHMARKS]
    data = Path(os.environ.get("SHOAL_TEST_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--quick", action="store_true", help="short forms: minutes, and figures that chance moves more")
    parser.add_argument("--only", choices=names, action="append", metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--data", type=Path, default=data, help="folder of data sets; or SHOAL_TEST_DATA")
    parser.add_argument("--results", type=Path, default=ROOT / ".benchmarks", help="where results are kept")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="the results that the page is written from")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page is written")
    parser.add_argument("--again", action="store_true", help="run what is there already, too")
    parser.add_argument("--write", action="store_true", help="run nothing, only write the page from what is there")
    parser.add_argument("--patience", type=float, help="seconds that a benchmark may take")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
