"""Reading the directories of TIFF files, which EXIF is as well.

Pillow's own reader decodes every tag there is, of any length. Here only the tags that are asked for are decoded, and
no value costs more than it can be worth, whatever the bytes are.
Source: TIFF 6.0, section 2; BigTIFF design, https://www.awaresystems.be/imaging/tiff/bigtiff.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import islice

#: Bytes of a value that are looked at.
_MAX_VALUE = 1024
#: Tags of a directory that are looked at for one of the lowest.
_FIRST = 4
#: Tags of a directory that are looked at; cameras write fewer than 100.
_MAX_TAGS = 4096

# Size in bytes and how struct names it, by the type's number. Bytes, text and what is undefined stay bytes.
_TEXTS = frozenset({1, 2, 6, 7, 129})
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
_CODES = {3: "H", 4: "L", 5: "LL", 8: "h", 9: "l", 10: "ll", 11: "f", 12: "d", 13: "L", 16: "Q", 17: "q", 18: "Q"}
_RATIONALS = frozenset({5, 10})


@dataclass(frozen=True, slots=True)
class Rational:
    """A fraction as the file has it; the denominator may be 0."""

    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A tag of a directory before its value is looked at.

    Attributes:
        count: values.
        start: place of the values in the file.
    """

    tag: int
    kind: int
    count: int
    start: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file writes numbers.

    Attributes:
        order: of bytes, as struct has it.
        is_big: BigTIFF, with places and counts of 8 bytes.
    """

    order: str
    is_big: bool

    @property
    def count_size(self) -> int:
        """Bytes of the number of tags that a directory begins with."""
        return 8 if self.is_big else 2

    @property
    def entry_size(self) -> int:
        """Bytes of a tag in its directory."""
        return 20 if self.is_big else 12


class TiffReader:
    """The directories of a TIFF file or an EXIF block. Nothing here raises: what cannot be read is not there."""

    def __init__(self, content: bytes) -> None:
        """Args:
        content: begins with TIFF's header; ``Exif`` and two zeros may be before it.
        """
        self._content = content[6:] if content.startswith(b"Exif\0\0") else content
        order = {b"II": "<", b"MM": ">"}.get(self._content[:2], "<")
        is_big = self._number(f"{order}H", 2) == 43
        self._layout = Layout(order, is_big)
        known = self._content[:2] in (b"II", b"MM")
        #: Place of the first directory, 0 if there is none.
        self.first = (self._number(f"{order}Q", 8) if is_big else self._number(f"{order}L", 4)) if known else 0

    def read(self, place: int, wanted: Set[int]) -> dict[int, object]:
        """Values of the wanted tags of the directory at a place.

        A value is bytes for text, bytes and what is undefined; otherwise a number or, if there are more than one, a
        tuple of them. Rationals are :class:`Rational`.
        """
        found: dict[int, object] = {}
        for entry in self.entries(place):
            if entry.tag in wanted and entry.tag not in found:
                value = self._value(entry)
                if value is not None:
                    found[entry.tag] = value
        return found

    def number_in(self, place: int, tag: int) -> int:
        """The number of one of the lowest tags of the directory at a place; 0 if it is not among its first.

        Tags are in ascending order, and files can have directories without end.
        """
        for entry in islice(self.entries(place), _FIRST):
            if entry.tag == tag:
                value = self._value(entry)
                return value if isinstance(value, int) else 0
        return 0

    def entries(self, place: int) -> Iterator[Entry]:
        """The tags of the directory at a place, as many as there are whole."""
        layout, content = self._layout, self._content
        count = self._number(layout.order + ("Q" if layout.is_big else "H"), place) if place else 0
        start = place + layout.count_size
        whole = min(count, _MAX_TAGS, max(0, len(content) - start) // layout.entry_size)
        code = layout.order + ("HHQQ" if layout.is_big else "HHLL")
        for at in range(start, start + whole * layout.entry_size, layout.entry_size):
            tag, kind, values, target = struct.unpack_from(code, content, at)
            if kind in _SIZES:
                inline = at + layout.entry_size - (8 if layout.is_big else 4)
                fits = values * _SIZES[kind] <= (8 if layout.is_big else 4)
                yield Entry(tag, kind, values, inline if fits else target)

    def next(self, place: int) -> int:
        """Place of the directory after the one at a place, 0 if there is none."""
        layout = self._layout
        count = self._number(layout.order + ("Q" if layout.is_big else "H"), place)
        after = place + layout.count_size + count * layout.entry_size
        return self._number(layout.order + ("Q" if layout.is_big else "L"), after)

    def _value(self, entry: Entry) -> object | None:
        size = _SIZES[entry.kind]
        count = min(entry.count, _MAX_VALUE // size)
        data = self._content[entry.start : entry.start + count * size]
        if len(data) < count * size or not data:
            return None
        if entry.kind in _TEXTS:
            return data
        code = _CODES[entry.kind]
        numbers = struct.unpack(self._layout.order + code * count, data)
        values: tuple[object, ...] = numbers
        if entry.kind in _RATIONALS:
            values = tuple(Rational(*numbers[at : at + 2]) for at in range(0, len(numbers), 2))
        return values[0] if count == 1 else values

    def _number(self, code: str, place: int) -> int:
        """An unsigned number of the file, 0 where the file ends before it."""
        if place + struct.calcsize(code) > len(self._content):
            return 0
        (number,) = struct.unpack_from(code, self._content, place)
        return int(number)
