"""``shoal facets``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from shoal_client.areas.finding import DEFAULT_FACETS
from shoal_client.cli.bundles import bundled
from shoal_client.cli.filter_options import filters
from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import console, print_json, printable
from shoal_client.cli.words import count, percent
from shoal_client.filters import ImageFilter
from shoal_client.results import Facet, FacetField, Facets
from shoal_client.transport import DEFAULT_TARGET

#: Characters of the longest bar.
_BAR = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"
_HEADINGS = {FacetField.CAMERA_MAKE: "manufacturer"}
#: What has an id to filter by, beside its name.
_WITH_IDS = frozenset({FacetField.CLUSTER, FacetField.PLACE, FacetField.MOMENT})


@bundled(chosen=filters)
def facets(
    by: Annotated[
        list[FacetField] | None,
        typer.Option(
            "--by",
            metavar="FIELD",
            help=f"What to count by: {', '.join(each.value for each in FacetField)}; may be repeated. "
            f"{', '.join(each.value for each in DEFAULT_FACETS)} if left out.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many values of each.")] = 20,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
    *,
    chosen: ImageFilter,
) -> None:
    """Counts images by camera, year, cluster, tag and more."""
    with opened(server, collection) as target:
        found = target.facets(dict.fromkeys(by or DEFAULT_FACETS), filter=chosen, limit=limit)
    if as_json:
        for record in facet_records(found):
            print_json(record)
        return
    console().print(count(found.total, "image"))
    for facet in found.facets if found.total else ():
        console().print()
        console().print(_table(facet, found.total), crop=False)


def facet_records(found: Facets) -> Iterable[dict[str, Any]]:
    """A record for each value of each field; ``value`` is null for images without one."""
    for facet in found.facets:
        for each in facet.counts:
            yield {"field": facet.field.value, "value": each.value, "name": each.name, "count": each.count}
        if facet.without:
            yield {"field": facet.field.value, "value": None, "name": None, "count": facet.without}


def _table(facet: Facet, total: int) -> Table:
    """Counts with bars; years in their order, for the eye looks for them there."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    if facet.field in _WITH_IDS:
        table.add_column("id", justify="right", no_wrap=True)
    table.add_column(_HEADINGS.get(facet.field, facet.field.value), overflow="fold")
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    counts = sorted(facet.counts, key=lambda each: each.name) if facet.field is FacetField.YEAR else facet.counts
    most = max((each.count for each in counts), default=0)
    for each in counts:
        own = [str(each.value)] if facet.field in _WITH_IDS else []
        table.add_row(*own, escape(printable(each.name)), *_amount(each.count, total), bar(each.count, most))
    others = 0 if facet.field is FacetField.TAG else total - facet.without - sum(each.count for each in counts)
    for name, number in (("others", others), ("none", facet.without)):
        if number > 0:
            own = ["-"] if facet.field in _WITH_IDS else []
            table.add_row(*own, name, *_amount(number, total), "", style="dim")
    return table


def _amount(number: int, total: int) -> tuple[str, str]:
    return str(number), percent(number / total) if total else "-"


def bar(number: int, most: int) -> str:
    """A bar of a length in proportion to the longest, at least a trace of one."""
    eighths = max(1, round(8 * _BAR * number / most)) if most else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
