"""What the benchmarks found is collected and shown as it is: kept, missed, failed or not run."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import identity
import pytest
import quality
import run_all
import scenarios
from catalogue import BENCHMARKS, DATA, KEPT, Benchmark
from claims import Claim, judged
from collected import Outcome, keep, kept, read_figures, this_machine
from figures import Figure, ended
from report import rendered, table

ROOT = Path(__file__).resolve().parents[2]

MET = Figure("speed", "It is fast.", ">= 2", "3.1", True, [["", "Shoal"], ["images | s", "31"]], 12.0)
MISSED = Figure("size", "It is small.", "<= 1", "4", False)
UNBOUND = Figure("colour", "It has one.", "", "blue", None)

SPEED = Benchmark("speed", "How fast it is", "made-up data", "a loop", full=(f"{DATA}/photos", "--keep", KEPT))
OTHER = Benchmark("other", "Something else", "nothing", "")


def outcome(name: str, *figures: Figure, failure: str = "", quick: bool = False) -> Outcome:
    return Outcome(
        name,
        f"python benchmarks/{name}.py",
        quick,
        "2026-01-02T03:04:05+00:00",
        75.0,
        figures,
        failure,
        {"processor": "abacus", "cores": "2"},
        {"python": "3.11", "torch": "2.15"},
    )


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Of run_all.py, with a repository that has no benchmarks yet."""
    (tmp_path / "root" / "benchmarks").mkdir(parents=True)
    monkeypatch.setattr(run_all, "ROOT", tmp_path / "root")
    (tmp_path / "results").mkdir()
    return argparse.Namespace(data=tmp_path / "data", results=tmp_path / "results", quick=False, patience=20.0)


def script(options: argparse.Namespace, text: str) -> None:
    del options
    (run_all.ROOT / "benchmarks" / "speed.py").write_text("import json, sys\nfile = sys.argv[-1]\n" + text)


def test_the_page_shows_what_was_kept_and_what_was_not() -> None:
    page = rendered([SPEED, OTHER], {"speed": outcome("speed", MET, MISSED, UNBOUND)})
    overview = [line for line in page.splitlines() if line.startswith("| [speed](#speed)")]
    assert overview == [
        "| [speed](#speed) | speed | >= 2 | 3.1 | met | 2026-01-02 | 12 s |",
        "| [speed](#speed) | size | <= 1 | 4 | **MISSED** | 2026-01-02 | |",
        "| [speed](#speed) | colour | | blue | - | 2026-01-02 | |",
    ]
    assert "processor abacus, cores 2" in page
    assert "python 3.11, torch 2.15" in page
    assert "Data: made-up data." in page
    assert "Beside it: a loop." in page
    assert "Ran on 2026-01-02 in 75 s." in page
    assert "| images \\| s | 31 |" in page
    assert "Not run yet: `other`." in page


def test_a_benchmark_that_failed_is_on_the_page() -> None:
    page = rendered([SPEED], {"speed": outcome("speed", failure="it ended with 2: out of paper")})
    assert "| [speed](#speed) | | | | **FAILED** | 2026-01-02 | 75 s |" in page
    assert "**FAILED**: it ended with 2: out of paper" in page


def test_the_page_is_written_from_the_published_results() -> None:
    found = {each.name: kept(run_all.PUBLISHED, each.name) for each in BENCHMARKS}
    page = rendered(BENCHMARKS, {name: each for name, each in found.items() if each is not None})
    assert run_all.PAGE.read_text(encoding="utf-8") == page


def test_what_was_run_here_replaces_what_was_published_and_leaves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_all, "BENCHMARKS", [SPEED, OTHER])
    published, results = tmp_path / "published", tmp_path / "results"
    for each in (published, results):
        each.mkdir()
    keep(published, outcome("speed", MISSED))
    keep(published, outcome("other", UNBOUND))
    keep(results, outcome("speed", MET))
    page = tmp_path / "page.md"
    places = {"--results": results, "--published": published, "--page": page}
    monkeypatch.setattr(
        sys, "argv", ["run_all.py", "--write", *(str(part) for pair in places.items() for part in pair)]
    )
    assert run_all.main() == 0
    assert page.read_text(encoding="utf-8") == rendered(
        [SPEED, OTHER], {"speed": outcome("speed", MET), "other": outcome("other", UNBOUND)}
    )
    assert kept(published, "speed") == kept(results, "speed")


def test_other_versions_are_told_with_whom_they_concern() -> None:
    old = outcome("other", MET)
    old = Outcome(**{**old.__dict__, "started_at": "2025-01-01", "versions": {"python": "3.11", "torch": "2.14"}})
    page = rendered([SPEED, OTHER], {"speed": outcome("speed", MET), "other": old})
    assert "`other` ran with torch 2.14." in page
    assert "`speed` ran with" not in page


def test_rows_of_different_lengths_make_one_table() -> None:
    assert table([["a", "b"], ["c"]]) == "| a | b |\n|---|---|\n| c | |\n"


def test_an_outcome_is_kept_as_it_is(tmp_path: Path) -> None:
    assert kept(tmp_path, "speed") is None
    first = outcome("speed", MET, MISSED)
    keep(tmp_path, first)
    again = kept(tmp_path, "speed")
    assert again is not None
    assert again.machine == first.machine
    assert [figure.value for figure in again.figures] == ["3.1", "4"]
    assert rendered([SPEED], {"speed": again}) == rendered([SPEED], {"speed": first})


def test_figures_of_numbers_and_objects_are_read() -> None:
    content = [{"name": "a", "claim": "b", "bound": 1.5, "value": 0.123456, "met": None, "rows": [{"x": 1}, {"y": 2}]}]
    [figure] = read_figures(content)
    assert (figure.bound, figure.value, figure.met) == ("1.5", "0.1235", None)
    assert figure.rows == [["x", "y"], ["1", ""], ["", "2"]]


@pytest.mark.parametrize("content", [{"name": "a"}, [{"name": "a"}], ["a"]])
def test_what_are_no_figures_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match="figure"):
        read_figures(content)


def test_a_benchmark_is_run_with_its_data_and_its_figures_are_read(options: argparse.Namespace) -> None:
    script(
        options,
        "figure = dict(name='n', claim='c', bound='b', value=' '.join(sys.argv[1:-1]), met=False)\n"
        "open(file, 'w').write(json.dumps([figure])); sys.exit(1)\n",
    )
    found = run_all.run(SPEED, options)
    assert found.failure == ""
    assert not run_all.passed(found)
    assert found.figures[0].value == f"{options.data}/photos --keep {options.results}/speed --json"
    assert found.command == f"python benchmarks/speed.py {DATA}/photos --keep .benchmarks/speed"
    assert found.machine == this_machine()


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("sys.exit('no ' + sys.argv[1])", f"it ended with 1: no {DATA}/photos"),
        ("open(file, 'w').write('[]'); print('too bad'); sys.exit(3)", "it ended with 3: too bad"),
        ("open(file, 'w').write('{}')", "its figures cannot be read: figures are a list, not dict"),
        ("pass", "it ended with 0: it said nothing"),
    ],
)
def test_a_benchmark_that_fails_is_told(options: argparse.Namespace, text: str, failure: str) -> None:
    script(options, text + "\n")
    found = run_all.run(SPEED, options)
    assert (found.failure, found.figures) == (failure, ())


def test_a_benchmark_that_does_not_end_is_ended(options: argparse.Namespace) -> None:
    options.patience = 0.3
    script(options, "import time; time.sleep(60)\n")
    assert run_all.run(SPEED, options).failure == "it had not ended after 0 s"


def test_a_benchmark_that_is_not_there_is_told(options: argparse.Namespace) -> None:
    assert run_all.run(SPEED, options).failure == "there is no benchmarks/speed.py"


def test_what_was_run_in_short_or_failed_is_run_again_for_the_full_form() -> None:
    short, full, failed = outcome("a", MET, quick=True), outcome("a", MISSED), outcome("a", failure="no")
    assert [run_all._done(each, quick=True) for each in (short, full, failed, None)] == [True, True, False, False]
    assert [run_all._done(each, quick=False) for each in (short, full)] == [False, True]


def test_missed_bounds_are_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended([MET, UNBOUND], None) == 0
    assert ended([MET, MISSED], tmp_path / "figures.json") == 1
    assert capsys.readouterr().out == "missed: size: 4, and <= 1 is wanted\n"
    assert [each["met"] for each in json.loads((tmp_path / "figures.json").read_text())] == [True, False]


ROWS = [
    ["", "Shoal", "peer"],
    ["same id", "99.5%", "90.0%"],
    ["... at the least", "1.0%", ""],
    ["steps", "12", "4"],
    ["... at the least", "1,234 stored, 35 times faster", "0"],
]


def test_claims_look_at_the_rows_that_they_name() -> None:
    claims = (
        Claim(("same",), "", 98, unit=" %"),
        Claim(("steps", "... at"), "", 40, place=1),
        Claim(("steps", "... at"), "", 1234, at_least=False),
        Claim(("same",), "", 10, beside=2, unit=" points"),
        Claim(("nowhere",), "", 1),
    )
    found = judged(claims, ROWS, 5.0)
    assert [figure.met for figure in found] == [True, False, True, False]
    assert found[1].name == "steps: ... at"
    assert (found[3].bound, found[3].value) == (">= the peer's + 10 points", "99.5%, peer 90.0%")
    assert [figure.seconds for figure in found] == [5.0, 0.0, 0.0, 0.0]


def test_a_cell_without_the_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="number 3 is asked for"):
        judged([Claim(("same",), "", 1, place=2)], ROWS, 0.0)


def test_each_benchmark_is_listed_once() -> None:
    names = [each.name for each in BENCHMARKS]
    assert len(set(names)) == len(names)
    scripts = {file.stem for file in (ROOT / "benchmarks").glob("*.py") if "json_option(" in file.read_text()}
    # figures.py has the option itself.
    assert scripts - {"figures"} <= set(names)


class Knowing:
    """A contestant that knows the labels, and takes those of half of the labels for strangers."""

    def __init__(self) -> None:
        self._files: set[Path] = set()

    def add(self, files: Sequence[Path]) -> None:
        self._files |= set(files)

    def remove(self, files: Sequence[Path]) -> None:
        self._files -= set(files)

    def recluster(self) -> float:
        return 0.25

    def ids(self) -> dict[Path, int]:
        return {file: int(file.parent.name) for file in self._files}

    def strangeness(self, files: Sequence[Path]) -> list[float]:
        return [float(int(file.parent.name) < 5) for file in files]

    def comparable(self, ids: dict[Path, int], other: dict[Path, int]) -> dict[Path, int]:
        del ids
        return other


def test_claims_about_identity_find_their_rows() -> None:
    files = [Path(str(label)) / f"{number}.jpg" for label in range(10) for number in range(10)]
    unseen = [str(label) for label in range(5)]
    rows = [
        *scenarios.side_by_side([scenarios.held_back(Knowing(), files, 1) for _ in range(3)]),
        *scenarios.side_by_side([scenarios.growth(Knowing(), files, 1) for _ in range(3)]),
        *scenarios.side_by_side([scenarios.strangers(Knowing(), files, unseen, (), 1) for _ in range(3)]),
    ]
    found = judged(identity.CLAIMS, rows, 0.0)
    # All right, but for the writes, and for what cannot be two points better than the peer that is the same.
    assert [figure.met for figure in found] == [True, False, False, True, True]


def test_claims_about_quality_find_their_rows() -> None:
    source = (ROOT / "benchmarks" / "quality.py").read_text(encoding="utf-8")
    shown = re.findall(r'(?:row\(|\()"([^"]+)", ', source)
    rows = [[what, "0 stored, 100 times faster"] for what in shown]
    assert {figure.name for figure in judged(quality.CLAIMS, rows, 0.0)} == {": ".join(c.row) for c in quality.CLAIMS}
