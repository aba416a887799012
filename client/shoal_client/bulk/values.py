"""Attributes as people write them: keys from headings, numbers from text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from shoal_client.errors import InvalidArgument
from shoal_client.filters import Attribute
from shoal_client.filters.conditions import KEY, typed

_TAG_SEPARATOR = re.compile(r"[;|]")


def attribute(assignment: str) -> tuple[str, Attribute]:
    """The key and the value of ``KEY=VALUE``.

    Raises:
        InvalidArgument: it does not have that form.
    """
    key, equals, value = assignment.partition("=")
    if not equals or KEY.fullmatch(key) is None or not value:
        raise InvalidArgument(
            f"{assignment!r} is not KEY=VALUE, for instance rating=5; a key is 1 to 63 of a-z, 0-9 and _, beginning "
            "with a letter",
            reason="INVALID_FIELD",
        )
    return key, typed(value)


def attribute_keys(headings: Sequence[str], where: str) -> list[str]:
    """The keys of a table's columns: lower case, without accents, everything else than letters and digits as ``_``.

    Args:
        headings: of all columns.
        where: the table, for the message of an error.

    Raises:
        InvalidArgument: a heading leaves no key, or two leave the same.
    """
    keys = [_key(heading) for heading in headings]
    for number, (heading, key) in enumerate(zip(headings, keys, strict=True), 1):
        column = f"{where}: column {number} {heading!r}"
        if KEY.fullmatch(key) is None:
            raise InvalidArgument(
                f"{column} gives no attribute's key: 1 to 63 of a-z, 0-9 and _, beginning with a letter; rename or "
                "remove it",
                reason="INVALID_MANIFEST",
            )
        if keys.index(key) != number - 1:
            raise InvalidArgument(
                f"{column} gives the key {key!r} like column {keys.index(key) + 1}; rename one of them",
                reason="INVALID_MANIFEST",
            )
    return keys


def tags_in(text: str) -> Iterable[str]:
    """The tags in a field; ``;`` or ``|`` separates them."""
    return tuple(tag for each in _TAG_SEPARATOR.split(text) if (tag := each.strip()))


def _key(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
