"""What a file claims to hold, checked against its bytes before memory is taken for it.

A header of a few bytes can claim any size. Each format has a size that its bytes cannot exceed; who claims more is
damaged or means harm, and is refused at no cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shoal_server.adapters.pillow_decoder.jpeg_header import JpegHeader, read_jpeg_header
from shoal_server.adapters.pillow_decoder.tiff_directories import TiffReader
from shoal_server.domain.errors import BrokenImage

#: Pixels that any file may claim: they cost little.
_FREE_PIXELS = 4_000_000
#: Bytes of the coefficients of a JPEG's block, where they are kept for the whole picture.
_BLOCK_BYTES = 128
#: Bytes of such memory that are free, and that each byte of the file justifies: a progressive JPEG of more than 50
#: million pixels must not be smaller than 1/50 of them.
_FREE_BUFFER, _BUFFER_RATIO = 96_000_000, 100
#: Pixels times scans of a JPEG. Every scan goes over all pixels, however few bytes it has; 10 scans are usual.
_MAX_SCANNED = 10_000_000_000
#: Deflate makes at most 258 bytes of 2 bits (RFC 1951).
_DEFLATE_RATIO = 1032
#: LZW as in GIF and TIFF makes at most 4,096 values of 12 bits.
_LZW_RATIO = 4096 * 8 / 12
#: Chunks of a PNG, strips of a TIFF, blocks of a GIF that are worth reading: each takes the plugins microseconds.
_MAX_PARTS = 200_000
_MAX_GIF_BLOCKS = 1_000_000
#: Bytes of a run-length encoded BMP; its decoder is written in Python and takes a second for 2 MB.
_MAX_RLE_BYTES = 4_000_000
#: Directories of a TIFF that are counted.
_MAX_PAGES = 10_000

_DATA_BOXES = frozenset({b"mdat", b"meta"})
_OTHER_BOXES = frozenset({b"ftyp", b"free", b"skip", b"uuid", b"moov", b"wide"})
_WIDTH, _HEIGHT, _SUBFILE, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 254, 258, 259, 277
_OFFSETS = (273, 324)  # of strips and tiles
_NOT_A_PAGE = 0b101  # a reduced copy, or a mask
_UNCOMPRESSED = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """What a header says.

    Attributes:
        width: pixels; 0 where only the plugin can tell.
        height: pixels; 0 where only the plugin can tell.
        frame_count: pictures in the file, at least 1; None where only the plugin can tell.
        jpeg: the header of a JPEG, which is read once.
    """

    width: int = 0
    height: int = 0
    frame_count: int | None = 1
    jpeg: JpegHeader | None = None


def claim_of(image_format: str, content: bytes) -> Claim:
    """Reads what the header claims.

    Raises:
        BrokenImage: it has so many parts that reading them would take too long, or the header is cut off.
    """
    match image_format:
        case "JPEG":
            header = read_jpeg_header(content)
            return Claim(header.width, header.height, jpeg=header)
        case "PNG":
            return _png_claim(content)
        case "GIF":
            return Claim(_little(content, 6, 2), _little(content, 8, 2), _gif_frames(content))
        case "WEBP":
            return Claim(*_webp_size(content), frame_count=None)
        case "TIFF":
            return _tiff_claim(content)
        case "BMP":
            return Claim()
        case _:
            return Claim(frame_count=None)


def check_plausible(image_format: str, content: bytes, claim: Claim) -> None:
    """Checks that the bytes can hold as many pixels as the header claims.

    Args:
        image_format: of the bytes.
        content: the file's bytes.
        claim: what :func:`claim_of` read of these.

    Raises:
        BrokenImage: they cannot.
    """
    match image_format:
        case "JPEG" if claim.jpeg is not None:
            _check_jpeg(content, claim.jpeg)
        case "PNG":
            _check_png(content)
        case "GIF":
            width, height = _little(content, 6, 2), _little(content, 8, 2)
            if width * height > _FREE_PIXELS:
                _require("GIF", content, width, height, width * height / _LZW_RATIO)
        case "TIFF":
            _check_tiff(content)
        case "BMP":
            _check_bmp(content)
        case "WEBP":
            # It can code any area in a few bytes, and takes memory only as it goes.
            pass
        case _:
            _check_boxes(image_format, content)


def _require(image_format: str, content: bytes, width: int, height: int, least: float) -> None:
    if least > len(content):
        raise BrokenImage(
            image_format,
            f"it claims {width} x {height} pixels, which take at least {int(least):,} bytes, and has "
            f"{len(content):,}; copy or download it again",
        )


def _check_jpeg(content: bytes, header: JpegHeader) -> None:
    pixels = header.width * header.height
    if pixels > _FREE_PIXELS:
        _require("JPEG", content, header.width, header.height, header.least_bits / 8)
    if not header.is_buffered:
        return
    buffered = header.blocks * _BLOCK_BYTES
    if buffered > _FREE_BUFFER + _BUFFER_RATIO * len(content):
        raise BrokenImage(
            "JPEG",
            f"it claims {header.width} x {header.height} pixels in scans over the whole picture, which takes "
            f"{buffered:,} bytes of memory, and has {len(content):,}; copy or download it again",
        )
    # Whatever looks like a scan counts, be it in a thumbnail: the limit is far from what any picture has.
    scans = content.count(b"\xff\xda")
    if pixels * scans > _MAX_SCANNED:
        raise BrokenImage("JPEG", f"it goes over its {pixels:,} pixels {scans:,} times; save it anew")


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and length of the content of each chunk that is whole (PNG specification, 5.3)."""
    at = 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if at + 12 + length > len(content):
            yield content[at + 4 : at + 8], at + 8, len(content) - at - 8
            return
        yield content[at + 4 : at + 8], at + 8, length
        at += 12 + length


def _png_claim(content: bytes) -> Claim:
    frames = 0
    is_animation = default_is_frame = seen_pixels = False
    for part, (name, _, _) in enumerate(_png_chunks(content)):
        if part == _MAX_PARTS:
            raise BrokenImage("PNG", f"it is in more than {_MAX_PARTS:,} parts; save it anew")
        is_animation |= name == b"acTL"
        seen_pixels |= name == b"IDAT"
        frames += name == b"fcTL"
        default_is_frame |= name == b"fcTL" and not seen_pixels
    # A picture before the animation, for programs that show none, is one more.
    count = frames + (not default_is_frame) if is_animation and frames else 1
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    return Claim(width, height, count)


def _check_png(content: bytes) -> None:
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if width * height <= _FREE_PIXELS or len(content) < 26:
        return
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(content[25], 1)
    raw = height * (1 + -(-width * content[24] * samples // 8))
    packed = sum(length for name, _, length in _png_chunks(content) if name == b"IDAT")
    if raw > _DEFLATE_RATIO * packed:
        raise BrokenImage(
            "PNG",
            f"it claims {width} x {height} pixels, which take at least {raw // _DEFLATE_RATIO:,} bytes, and has "
            f"{packed:,}; copy or download it again",
        )


def _gif_frames(content: bytes) -> int:
    """Image blocks (GIF89a specification, 20 to 22), without decoding any."""
    at = 13 + (3 << ((content[10] & 7) + 1) if len(content) > 10 and content[10] & 0x80 else 0)
    frames = blocks = 0
    while at < len(content):
        kind = content[at]
        if kind == 0x2C and at + 10 <= len(content):
            flags = content[at + 9]
            at += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
            frames += 1
        elif kind == 0x21:
            at += 2
        elif kind == 0x3B:
            break
        else:
            at += 1
            blocks += 1
            continue
        while at < len(content) and content[at] and blocks < _MAX_GIF_BLOCKS:
            at += 1 + content[at]
            blocks += 1
        if blocks >= _MAX_GIF_BLOCKS:
            if frames == 0:
                raise BrokenImage("GIF", f"no picture is in its first {_MAX_GIF_BLOCKS:,} blocks; save it anew")
            break
        at += 1
    return max(frames, 1)


def _webp_size(content: bytes) -> tuple[int, int]:
    """Source: RFC 9649, 2.5 to 2.7."""
    match content[12:16]:
        case b"VP8X":
            return _little(content, 24, 3) + 1, _little(content, 27, 3) + 1
        case b"VP8L":
            bits = _little(content, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _little(content, 26, 2) & 0x3FFF, _little(content, 28, 2) & 0x3FFF
    return 0, 0


def _tiff_claim(content: bytes) -> Claim:
    reader = TiffReader(content)
    first = reader.read(reader.first, {_WIDTH, _HEIGHT})
    place, seen, pages = reader.first, set[int](), 0
    while place and place not in seen and len(seen) < _MAX_PAGES:
        seen.add(place)
        pages += not reader.number_in(place, _SUBFILE) & _NOT_A_PAGE
        place = reader.next(place)
    return Claim(_whole(first.get(_WIDTH)), _whole(first.get(_HEIGHT)), max(pages, 1))


def _check_tiff(content: bytes) -> None:
    reader = TiffReader(content)
    first = reader.read(reader.first, {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES})
    width, height = _whole(first.get(_WIDTH)), _whole(first.get(_HEIGHT))
    if width <= 0 or height <= 0:
        raise BrokenImage("TIFF", "its header does not say how large it is; copy or download it again")
    parts = max((entry.count for entry in reader.entries(reader.first) if entry.tag in _OFFSETS), default=0)
    if parts > _MAX_PARTS:
        raise BrokenImage("TIFF", f"it is in {parts:,} parts, and {_MAX_PARTS:,} are read at most; save it anew")
    # Fax and the newer compressions have no bound worth a check.
    if first.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED and width * height > _FREE_PIXELS:
        bits = first.get(_BITS, 1)
        each = _whole(bits[0] if isinstance(bits, tuple) else bits)
        _require("TIFF", content, width, height, width * height * each * max(_whole(first.get(_SAMPLES, 1)), 1) / 8)


def _check_boxes(image_format: str, content: bytes) -> None:
    """AVIF and HEIF: that the pixels are there (ISO/IEC 14496-12, 4.2); libheif leaves what is missing black."""
    at = 0
    for _ in range(_MAX_PARTS):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if length == 1:
            length = int.from_bytes(content[at + 8 : at + 16], "big")
        if length < 8 or kind not in _DATA_BOXES | _OTHER_BOXES:
            break
        at += length
        if at > len(content) and kind in _DATA_BOXES:
            raise BrokenImage(image_format, "it ends before the image does; copy or download it again")


def _check_bmp(content: bytes) -> None:
    """Source: the BITMAPINFOHEADER structure, https://learn.microsoft.com/windows/win32/api/wingdi."""
    if _little(content, 14, 4) == 12:
        width, height, bits, compression = _little(content, 18, 2), _little(content, 20, 2), _little(content, 24, 2), 0
    else:
        width = abs(int.from_bytes(content[18:22], "little", signed=True))
        height = abs(int.from_bytes(content[22:26], "little", signed=True))
        bits, compression = _little(content, 28, 2), _little(content, 30, 4)
    if compression in (1, 2):
        if len(content) > _MAX_RLE_BYTES:
            raise BrokenImage("BMP", f"it is run-length encoded and larger than {_MAX_RLE_BYTES:,} bytes; save it anew")
    elif width * height > _FREE_PIXELS:
        _require("BMP", content, width, height, width * height * bits / 8)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _little(content: bytes, start: int, length: int) -> int:
    return int.from_bytes(content[start : start + length], "little")
