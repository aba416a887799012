"""The options that say which images a command is about, and the one place that makes a filter of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer
from rich.cells import cell_len

from shoal_client.cli.output import error_console, printable
from shoal_client.errors import InvalidExpression
from shoal_client.filters import Attribute, ImageFilter, where
from shoal_client.filters.conditions import KEY, NAMES, typed
from shoal_client.filters.times import stretch

#: The heading of these options in the help.
WHICH = "Which images: all that is given must hold"
#: click's for a command that is called wrongly.
USAGE = 2

_METERS = {"km": 1000.0, "mi": 1609.344, "m": 1.0}

WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        rich_help_panel=WHICH,
        help='A condition in words: camera = "Canon EOS 40D" and (iso >= 800 or tag = night) and not cluster = 3. '
        f"Compared are {', '.join(NAMES)}; alone stand unclustered, has attr.KEY, has location, near(48.1, 11.6, 2km), "
        "box(47, 10, 49, 12) and polygon(47 10, 49 10, 48 12).",
    ),
]
ClusterOption = Annotated[
    list[int] | None,
    typer.Option("--cluster", metavar="ID", rich_help_panel=WHICH, help="In this cluster; may be repeated: in any."),
]
NotClusterOption = Annotated[
    list[int] | None,
    typer.Option("--not-cluster", metavar="ID", rich_help_panel=WHICH, help="Not in this cluster; may be repeated."),
]
UnclusteredOption = Annotated[bool, typer.Option("--unclustered", rich_help_panel=WHICH, help="In no cluster.")]
ThemeOption = Annotated[
    list[int] | None,
    typer.Option("--theme", metavar="ID", rich_help_panel=WHICH, help="Below this theme; may be repeated: below any."),
]
PlaceOption = Annotated[
    list[int] | None,
    typer.Option("--place", metavar="ID", rich_help_panel=WHICH, help="Taken at this place; may be repeated: at any."),
]
MomentOption = Annotated[
    list[int] | None,
    typer.Option("--moment", metavar="ID", rich_help_panel=WHICH, help="Of this moment; may be repeated: of any."),
]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", rich_help_panel=WHICH, help="With this tag; may be repeated: with any."),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", rich_help_panel=WHICH, help="Taken then or later: 2019, 2019-05, 2019-05-01."
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", rich_help_panel=WHICH, help="Taken then or before; 2019-07: until July ends."),
]
NearOption = Annotated[
    str | None,
    typer.Option("--near", metavar="LAT,LON,RADIUS", rich_help_panel=WHICH, help="Taken near: 48.137,11.575,2km."),
]
CameraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--camera", metavar="MODEL", rich_help_panel=WHICH, help="With this camera; may be repeated: with any."
    ),
]
LensOption = Annotated[
    list[str] | None,
    typer.Option("--lens", metavar="MODEL", rich_help_panel=WHICH, help="With this lens; may be repeated: with any."),
]
AttributeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute", metavar="KEY=VALUE", rich_help_panel=WHICH, help="With this attribute; may be repeated."
    ),
]


def filters(
    *,
    expression: WhereOption = None,
    tag: TagOption = None,
    since: FromOption = None,
    until: ToOption = None,
    near: NearOption = None,
    camera: CameraOption = None,
    lens: LensOption = None,
    attribute: AttributeOption = None,
    cluster: ClusterOption = None,
    not_cluster: NotClusterOption = None,
    unclustered: UnclusteredOption = False,
    theme: ThemeOption = None,
    place: PlaceOption = None,
    moment: MomentOption = None,
) -> ImageFilter:
    """Which images were asked for.

    Raises:
        typer.BadParameter: an option does not have its form.
        typer.Exit: the expression is none; what is wrong with it was printed.
    """
    if unclustered and (cluster or theme):
        raise typer.BadParameter(
            f"no image is in no cluster and in one of {'--cluster' if cluster else '--theme'}; give one of the two",
            param_hint="--unclustered",
        )
    plain = ImageFilter(
        clusters=cluster or (),
        unclustered=unclustered,
        themes=theme or (),
        places=place or (),
        moments=moment or (),
        tags=said(tag, "--tag"),
        captured=_captured(since, until),
        near=None if near is None else _near(near),
        camera_models=said(camera, "--camera"),
        lenses=said(lens, "--lens"),
        attributes=_attributes(attribute or ()),
    )
    excluded = ~ImageFilter(clusters=not_cluster) if not_cluster else ImageFilter()
    return plain & excluded & _expressed(expression)


def said(given: Iterable[str] | None, option: str) -> list[str]:
    """What an option was given, which may be any text but none at all.

    Raises:
        typer.BadParameter: one is empty.
    """
    values = list(given or ())
    if "" in values:
        raise typer.BadParameter("it is empty; leave the option out", param_hint=option)
    return values


def assigned(given: str, option: str, form: str = "KEY=VALUE, as in rating=5") -> tuple[str, str]:
    """The two sides of KEY=VALUE.

    Raises:
        typer.BadParameter: it is none.
    """
    key, equals, value = given.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{given!r} is not {form}", param_hint=option)
    return key, value


def checked_key(key: str, option: str) -> str:
    """The key of an attribute.

    Raises:
        typer.BadParameter: it is none.
    """
    if KEY.fullmatch(key) is None:
        raise typer.BadParameter(
            f"{key!r} is no attribute's key: 1 to 63 of a-z, 0-9 and _, beginning with a letter", param_hint=option
        )
    return key


def _captured(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None] | None:
    if since is None and until is None:
        return None
    return (None if since is None else _time(since, "--from")[0], None if until is None else _time(until, "--to")[1])


def _time(text: str, option: str) -> tuple[datetime, datetime | None]:
    try:
        return stretch(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _near(text: str) -> tuple[float, float, float]:
    try:
        lat, lon, radius = text.lower().split(",")
        unit = next((each for each in _METERS if radius.strip().endswith(each)), "")
        near = float(lat), float(lon), float(radius.strip().removesuffix(unit)) * _METERS.get(unit, 1.0)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not LATITUDE,LONGITUDE,RADIUS, as in 48.137,11.575,2km", param_hint="--near"
        ) from error
    for what, right in (
        (f"latitude {lat.strip()} is not within -90 and 90", -90 <= near[0] <= 90),
        (f"longitude {lon.strip()} is not within -180 and 180", -180 <= near[1] <= 180),
        (f"radius {radius.strip()} is no distance above 0", 0 < near[2] < math.inf),
    ):
        if not right:
            raise typer.BadParameter(what, param_hint="--near")
    return near


def _attributes(given: Iterable[str]) -> dict[str, list[Attribute]]:
    """Any of the values given for a key; what looks like a number is found as a text as well."""
    values: dict[str, list[Attribute]] = {}
    for each in given:
        key, value = assigned(each, "--attribute")
        values.setdefault(checked_key(key, "--attribute"), []).extend(dict.fromkeys((typed(value), value)))
    return values


def _expressed(expression: str | None) -> ImageFilter:
    if expression is None:
        return ImageFilter()
    try:
        return where(expression)
    except InvalidExpression as error:
        to = error_console()
        to.print(f"error: --where: {printable(error.problem)}", style="red", markup=False, soft_wrap=True)
        if error.excerpt:
            to.print(f"  {error.excerpt}", markup=False, soft_wrap=True)
            to.print(f"  {' ' * cell_len(error.excerpt[: error.column])}^", markup=False, soft_wrap=True)
        raise typer.Exit(USAGE) from error
