"""``docs/benchmarks.md`` from the published results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from catalogue import NOT_RUN, Benchmark
from collected import Outcome
from figures import Figure

_HEAD = """\
# Benchmarks

Every figure here comes out of a script in `benchmarks/` that anyone can run and that can lose: a bound that is not kept
stands here as **MISSED**, and a benchmark that did not run to its end as **FAILED**. This page is written by

```sh
pip install -e '.[server,dev,evoc,benchmarks]'
python benchmarks/run_all.py --data DATA             # hours; --quick: minutes; --only NAME: one of them
```

which goes on where it was interrupted, and puts what it found in place of what is in `benchmarks/results`, from which
this page is written. `DATA` is a folder with `caltech30` (photographs, a folder for each kind), `clutter` (pictures of
other things) and `exif` (camera files). Times are those of a machine that did other things too, unless its figures say
how often they were repeated; the ratios to a peer in the same run are what to look at.
"""
_OFFLINE = """\
* fastembed, infinity: their own weights could not be downloaded, for want of a way to a model hub. `embedding_peers.py`
  runs them with random weights from files instead; where a row of it says that one could not be run, its last words
  stand beside it. fastembed 0.9 wants huggingface-hub before 2, infinity 0.0.78 numpy before 2 and (seen) transformers
  before 5, so that each needs an environment of its own (`--python`).
"""


def rendered(benchmarks: Sequence[Benchmark], outcomes: Mapping[str, Outcome]) -> str:
    """The page.

    Args:
        benchmarks: all that there are, in their order.
        outcomes: of those that ran, by name.
    """
    ran = [each for each in benchmarks if each.name in outcomes]
    parts = [_HEAD, *_machines([outcomes[each.name] for each in ran]), "## At a glance\n", _overview(ran, outcomes)]
    missing = [f"`{each.name}`" for each in benchmarks if each.name not in outcomes]
    if missing:
        parts.append(f"Not run yet: {', '.join(missing)}.\n")
    parts += [_section(each, outcomes[each.name]) for each in ran]
    parts.append("## Peers that could not be run\n")
    parts += [f"* {name}: {reason}" for name, reason in NOT_RUN.items()]
    parts.append(_OFFLINE)
    return "\n".join(parts)


def verdict(figure: Figure) -> str:
    """Whether a bound was kept, as shown."""
    if figure.met is None:
        return "-"
    return "met" if figure.met else "**MISSED**"


def _machines(outcomes: Sequence[Outcome]) -> list[str]:
    """Machine and versions of the last benchmark, and where others ran on something else."""
    if not outcomes:
        return []
    last = max(outcomes, key=lambda each: each.started_at)
    parts = [
        f"**Machine**: {_listed(last.machine)}.\n",
        f"**Versions**: {_listed(last.versions)}.\n",
    ]
    for each in outcomes:
        facts = {**each.machine, **each.versions}
        usual = {**last.machine, **last.versions}
        # What came to be installed later is no difference.
        other = {key: value for key, value in facts.items() if usual.get(key, value) != value}
        if other:
            parts.append(f"`{each.name}` ran with {_listed(other)}.\n")
    return parts


def _listed(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def _overview(benchmarks: Sequence[Benchmark], outcomes: Mapping[str, Outcome]) -> str:
    rows = [["benchmark", "figure", "bound", "value", "", "date", "took"]]
    for each in benchmarks:
        outcome = outcomes[each.name]
        link = f"[{each.name}](#{each.name})"
        date, took = outcome.started_at[:10], _duration(outcome.seconds)
        if outcome.failure:
            rows.append([link, "", "", "", "**FAILED**", date, took])
        for figure in outcome.figures:
            taken = _duration(figure.seconds) if figure.seconds else ""
            rows.append([link, figure.name, figure.bound, figure.value, verdict(figure), date, taken])
    return table(rows)


def _section(benchmark: Benchmark, outcome: Outcome) -> str:
    short = ", in its short form" if outcome.quick else ""
    lines = [
        f"## {benchmark.name}\n",
        f"{benchmark.about}.\n",
        f"* Data: {benchmark.data}.",
        *([f"* Beside it: {benchmark.peers}."] if benchmark.peers else []),
        f"* By itself: `{outcome.command}`",
        f"* Ran on {outcome.started_at[:10]} in {_duration(outcome.seconds)}{short}.\n",
    ]
    if outcome.failure:
        lines.append(f"**FAILED**: {outcome.failure}\n")
    if benchmark.plots and outcome.figures:
        lines.append(f"![{benchmark.about}]({benchmark.plots})\n")
    if outcome.figures:
        rows = [["claim", "bound", "value", ""]]
        rows += [[figure.claim, figure.bound, figure.value, verdict(figure)] for figure in outcome.figures]
        lines.append(table(rows))
    seen: list[Sequence[Sequence[str]]] = []
    for figure in outcome.figures:
        # Several figures may stand on the same table.
        if figure.rows and figure.rows not in seen:
            seen.append(figure.rows)
            lines.append(f"<details><summary>{figure.name}</summary>\n\n{table(figure.rows)}\n</details>\n")
    return "\n".join(lines)


def table(rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; the first row has the headings. Rows may be of different lengths."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    width = max(len(row) for row in cells)
    full = [row + [""] * (width - len(row)) for row in cells]
    lines = ["|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in full]
    return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]]) + "\n"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
