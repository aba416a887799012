"""The options that say what to look for, and the one place that makes terms of them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Annotated

import typer

from shoal_client.cli.filter_options import assigned
from shoal_client.queries import MINUS_WEIGHT, Term

#: The heading of these options in the help.
WHAT = "What to look for: one thing, or several together"
#: What --weight can weigh, and what it weighs by itself.
_WEIGHTS = {"text": 1.0, "image": 1.0, "like": 1.0, "minus": MINUS_WEIGHT, "minus-like": MINUS_WEIGHT}
#: How each part is given.
_GIVEN = {
    "text": "a TEXT",
    "image": "--image FILE",
    "like": "--like ID",
    "minus": "--minus TEXT",
    "minus-like": "--minus-like ID",
}
#: What the API takes.
_HEAVIEST = 10
_MOST = 32

TextArgument = Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to look for, in words.")]
ImageOption = Annotated[
    list[Path] | None,
    typer.Option("--image", metavar="FILE", readable=False, rich_help_panel=WHAT, help="What this file shows."),
]
LikeOption = Annotated[
    list[str] | None,
    typer.Option("--like", metavar="ID", rich_help_panel=WHAT, help="What this stored image shows; may be repeated."),
]
MinusOption = Annotated[
    list[str] | None,
    typer.Option("--minus", metavar="TEXT", rich_help_panel=WHAT, help="But not this, in words; may be repeated."),
]
MinusLikeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--minus-like",
        metavar="ID",
        rich_help_panel=WHAT,
        help="But not what this stored image shows; may be repeated.",
    ),
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weight",
        metavar="PART=NUMBER",
        rich_help_panel=WHAT,
        help="How much a part counts beside the others, as in like=2; by themselves text, image and like count 1, "
        "minus and minus-like 0.5.",
    ),
]


def query(
    *,
    text: TextArgument = None,
    image: ImageOption = None,
    like: LikeOption = None,
    minus: MinusOption = None,
    minus_like: MinusLikeOption = None,
    weight: WeightOption = None,
) -> list[Term]:
    """What was asked for, and with a negative weight what was asked to be left out.

    Raises:
        typer.BadParameter: nothing was asked for or too much, or a weight does not have its form or weighs nothing.
    """
    if text is None and not image and not like:
        raise typer.BadParameter("give TEXT, --image FILE or --like ID, or several of them")
    given = {"text": text is not None, "image": image, "like": like, "minus": minus, "minus-like": minus_like}
    weights = _weights(weight or (), [part for part, values in given.items() if values])
    wanted = [
        *([Term(text=text, weight=weights["text"])] if text is not None else []),
        *(Term(image=each, weight=weights["image"]) for each in image or ()),
        *(Term(like=each, weight=weights["like"]) for each in like or ()),
        *(Term(text=each, weight=-weights["minus"]) for each in minus or ()),
        *(Term(like=each, weight=-weights["minus-like"]) for each in minus_like or ()),
    ]
    if len(wanted) > _MOST:
        raise typer.BadParameter(f"these are {len(wanted)} things to look for; at most {_MOST} can be at once")
    return wanted


def _weights(given: Iterable[str], asked: Container[str]) -> dict[str, float]:
    weights = dict(_WEIGHTS)
    for each in given:
        part, number = assigned(each, "--weight", "PART=NUMBER, as in like=2")
        if part not in weights:
            raise typer.BadParameter(f"{part!r} is none of {', '.join(weights)}", param_hint="--weight")
        if part not in asked:
            raise typer.BadParameter(
                f"there is no {part} that {number} could weigh; give {_GIVEN[part]} as well", param_hint="--weight"
            )
        try:
            weights[part] = float(number)
        except ValueError as error:
            raise typer.BadParameter(f"{number!r} is no number", param_hint="--weight") from error
        if not 0 < weights[part] <= _HEAVIEST:
            raise typer.BadParameter(f"{number} is not above 0 and at most {_HEAVIEST}", param_hint="--weight")
    return weights
