"""What a JPEG's header says of the size of its data.

Source: ITU-T T.81, annex B (segments) and annex F and G (what a block is coded with).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal_server.domain.errors import BrokenImage

#: Bytes between segments that are passed over.
_MAX_JUNK = 65_536

_HUFFMAN_TABLES, _START_OF_SCAN = 0xC4, 0xDA
# Start of frame: all of C0 to CF but DHT (C4), JPG (C8) and DAC (CC).
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {_HUFFMAN_TABLES, 0xC8, 0xCC})
_SEQUENTIAL_HUFFMAN = frozenset({0xC0, 0xC1})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
# Markers without a segment: TEM, RST0 to RST7, SOI, EOI.
_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What stands before a JPEG's first scan.

    Attributes:
        width: pixels, as stored.
        height: pixels, as stored.
        blocks: of 8 x 8 values, of all components.
        least_bits: fewest bits that the first codes of all blocks take together.
        is_buffered: the coefficients of the whole picture are in memory while it is decoded, 2 bytes each.
    """

    width: int
    height: int
    blocks: int
    least_bits: int
    is_buffered: bool


@dataclass(slots=True)
class _Parts:
    """What was read of a header.

    Attributes:
        marker: of the frame; 0 if there is none.
        blocks: by the component's identifier.
        shortest: bits of the cheapest code for a block's mean value (class 0) and for an empty rest of it (class 1),
            by the table's class and number in one byte.
    """

    marker: int = 0
    width: int = 0
    height: int = 0
    blocks: dict[int, int] = field(default_factory=dict)
    shortest: dict[int, int] = field(default_factory=dict)


def read_jpeg_header(content: bytes) -> JpegHeader:
    """Reads the segments up to the first scan; what libjpeg would find wrong with them is left to libjpeg.

    Raises:
        BrokenImage: there is no frame before the first scan, or no scan.
    """
    parts = _Parts()
    at, junk = 2, 0
    while at + 4 <= len(content):
        if content[at] != 0xFF or content[at + 1] in (0x00, 0xFF):
            marker_at = content.find(b"\xff", at + 1)
            junk += (marker_at if marker_at >= 0 else len(content)) - at
            if marker_at < 0 or junk > _MAX_JUNK:
                break
            at = marker_at
            continue
        marker = content[at + 1]
        if marker in _ALONE:
            at += 2
            continue
        end = at + 2 + max(int.from_bytes(content[at + 2 : at + 4], "big"), 2)
        if marker in _FRAMES:
            _read_frame(parts, marker, content[at + 4 : end])
        elif marker == _HUFFMAN_TABLES:
            _read_tables(parts, content[at + 4 : end])
        elif marker == _START_OF_SCAN and parts.marker:
            return _with_scan(parts, content[at + 4 : end])
        at = end
    raise BrokenImage("JPEG", "its header is not complete; copy or download it again")


def _read_frame(parts: _Parts, marker: int, segment: bytes) -> None:
    parts.marker = marker
    parts.height, parts.width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    count = segment[5] if len(segment) > 5 else 0
    components = [segment[at : at + 3] for at in range(6, 6 + 3 * count, 3)]
    factors = {part[0]: (part[1] >> 4, part[1] & 15) for part in components if len(part) == 3}
    across = max((horizontal for horizontal, _ in factors.values()), default=1) or 1
    down = max((vertical for _, vertical in factors.values()), default=1) or 1
    parts.blocks = {
        component: -(-parts.width * horizontal // (8 * across)) * -(-parts.height * vertical // (8 * down))
        for component, (horizontal, vertical) in factors.items()
    }


def _read_tables(parts: _Parts, segment: bytes) -> None:
    at = 0
    while at + 17 <= len(segment):
        table, counts = segment[at], segment[at + 1 : at + 17]
        symbols = segment[at + 17 : at + 17 + sum(counts)]
        lengths = [length for length, count in enumerate(counts, 1) for _ in range(count)]
        pairs = list(zip(lengths, symbols, strict=False))
        if table >> 4 == 0:
            # The code is followed by as many bits as it says.
            costs = [length + (symbol & 15) for length, symbol in pairs]
        else:
            # The end of a block, or else at least one code.
            costs = [length for length, symbol in pairs if symbol == 0] or lengths
        parts.shortest[table] = min(costs, default=1)
        at += 17 + sum(counts)


def _with_scan(parts: _Parts, segment: bytes) -> JpegHeader:
    count = segment[0] if segment else 0
    chosen = [segment[at : at + 2] for at in range(1, 1 + 2 * count, 2)]
    tables = {part[0]: (part[1] >> 4, part[1] & 15) for part in chosen if len(part) == 2}
    is_whole = parts.marker in _SEQUENTIAL_HUFFMAN and tables.keys() >= parts.blocks.keys()
    bits = 0
    for component, blocks in parts.blocks.items():
        mean, rest = tables.get(component, (-1, -1))
        # Arithmetic codes and later scans: a bit is more than nothing, and less than any picture has.
        each = parts.shortest.get(mean, 1)
        if parts.marker in _SEQUENTIAL_HUFFMAN:
            each += parts.shortest.get(0x10 | rest, 1)
        bits += blocks * each
    return JpegHeader(
        parts.width, parts.height, sum(parts.blocks.values()), bits, parts.marker in _PROGRESSIVE or not is_whole
    )
