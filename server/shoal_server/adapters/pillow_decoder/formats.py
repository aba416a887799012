"""Which format bytes are in, by their first bytes; names and extensions are not trusted."""

from __future__ import annotations

HEIF = "HEIF"

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def format_of(content: bytes) -> str:
    """Pillow's name of the format that the first bytes announce; empty if it is none of those known here."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    # "BM" begins many a text as well, so the length of the header that follows is asked too.
    if content.startswith(b"BM") and int.from_bytes(content[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if content[4:8] == b"ftyp":
        # ISO/IEC 14496-12, 4.3: major brand, version, compatible brands. AVIF files may also carry HEIF's mif1.
        box = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
        brands = {box[start : start + 4] for start in range(0, len(box), 4) if start != 4}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return HEIF
    return ""
