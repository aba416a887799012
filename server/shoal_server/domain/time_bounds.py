"""Bounds of time as people write them, and which images lie between them."""

from __future__ import annotations

import re
from datetime import datetime

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.filters import During, ImageFilter, OneOf
from shoal_server.domain.payload import CAPTURED_LOCAL, LOCAL_TIME

CAPTURED_AT = "captured_at"
INGESTED_AT = "ingested_at"

#: RFC 3339, or only its beginning: a year, a month, a day, a minute.
_BOUND = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d{2})(-(?P<day>\d{2})"
    r"([Tt ](?P<hour>\d{2}):(?P<minute>\d{2})(:(?P<second>\d{2})(\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<offset>[Zz]|[+-]\d{2}:\d{2})?)?)?)?",
    re.ASCII,
)


def parse_bound(field: str, text: str) -> datetime | None:
    """The moment that a bound names; naive if it has no offset; None for an empty one.

    Args:
        field: of the request, for the error.
        text: RFC 3339, or the beginning of it; what is left out is the earliest there is.

    Raises:
        InvalidField: it is neither.
    """
    if not text:
        return None
    match = _BOUND.fullmatch(text)
    if match is None:
        raise InvalidField(field, f"{text[:60]!r} is no time; write 2019, 2019-05, 2019-05-01 or 2019-05-01T12:00:00Z")
    part = match.groupdict()
    offset = (part["offset"] or "").upper().replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(
            f"{part['year']}-{part['month'] or '01'}-{part['day'] or '01'}T{part['hour'] or '00'}:"
            f"{part['minute'] or '00'}:{part['second'] or '00'}.{(part['fraction'] or '0')[:6]:0<6}{offset}"
        )
    except ValueError as error:
        raise InvalidField(field, f"{text[:60]!r} is no time: {error}") from error


def captured_within(earliest: datetime | None, before: datetime | None) -> ImageFilter:
    """Images taken in a time; a bound that is None lets all through.

    A naive bound is compared with what the camera's clock showed. An aware one is a moment, and leaves out images whose
    camera recorded no offset.
    """
    conditions: list[During] = []
    if earliest is not None:
        conditions.append(During(_compared(earliest), earliest=earliest))
    if before is not None:
        conditions.append(During(_compared(before), before=before))
    by_moment = any(each.field == CAPTURED_AT for each in conditions)
    without_moment = (ImageFilter(conditions=(OneOf(LOCAL_TIME, (True,)),)),) if by_moment else ()
    return ImageFilter(conditions=tuple(conditions), none_of=without_moment)


def _compared(bound: datetime) -> str:
    """The field that a bound is compared with."""
    return CAPTURED_LOCAL if bound.tzinfo is None else CAPTURED_AT


def ingested_within(earliest: datetime | None, before: datetime | None) -> ImageFilter:
    """Images stored in a time.

    Raises:
        InvalidField: a bound has no offset, and so is no moment.
    """
    for bound in (earliest, before):
        if bound is not None and bound.tzinfo is None:
            raise InvalidField("filter.ingested", f"{bound.isoformat()} has no offset; write it with one, such as Z")
    if earliest is None and before is None:
        return ImageFilter()
    return ImageFilter(conditions=(During(INGESTED_AT, earliest, before),))
