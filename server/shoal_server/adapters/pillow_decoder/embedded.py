"""What a file says of itself beside its pixels: EXIF and XMP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice

from defusedxml import DefusedXmlException, ElementTree
from PIL import Image

from shoal_server.adapters.pillow_decoder.formats import HEIF
from shoal_server.adapters.pillow_decoder.tiff_directories import TiffReader
from shoal_server.domain.exif import BASE_TAGS, EXIF_TAGS, GPS_TAGS, ORIENTATION
from shoal_server.domain.xmp import Properties

Tags = Mapping[int, object]

_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825

#: Longest XMP packet that is read. A JPEG segment holds 64 KB; beyond that come edit histories.
_MAX_PACKET = 512 * 1024
#: XMP properties and array items that are looked at.
_MAX_PROPERTIES = 4096
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DESCRIPTION, _ITEM = f"{_RDF}Description", f"{_RDF}li"
_ARRAYS = frozenset({f"{_RDF}Seq", f"{_RDF}Bag", f"{_RDF}Alt"})
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# Longest profile of ImageMagick's that is unpacked, in hexadecimal digits.
_MAX_HEXADECIMAL = 2 * _MAX_PACKET

_log = logging.getLogger(__name__)


def exif_directories(image: Image.Image, content: bytes) -> tuple[Tags, Tags, Tags]:
    """The first image directory, the Exif and the GPS directory; what cannot be read is left out.

    Args:
        image: a loaded image: PNG may have its EXIF behind the pixels.
        content: its file.
    """
    exif = content if image.format == "TIFF" else image.info.get("exif") or _raw_profile(image, "exif")
    reader = TiffReader(exif if isinstance(exif, bytes) else b"")
    base = reader.read(reader.first, BASE_TAGS | {_EXIF_DIRECTORY, _GPS_DIRECTORY})
    below = [base.pop(tag, 0) for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY)]
    exif_place, gps_place = (place if isinstance(place, int) and place > 0 else 0 for place in below)
    if image.format == HEIF:
        # pillow-heif resets the tag, because it turns the image; it keeps what the file says here.
        base[ORIENTATION] = image.info.get("original_orientation")
    return base, reader.read(exif_place, EXIF_TAGS), reader.read(gps_place, GPS_TAGS)


def xmp_properties(image: Image.Image) -> Properties:
    """The simple properties and the arrays of simple values in the XMP packet; empty if none can be read."""
    packet = image.info.get("xmp") or _raw_profile(image, "xmp")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    if not isinstance(packet, bytes) or not packet or len(packet) > _MAX_PACKET:
        return {}
    if not packet.startswith(_UTF_16):
        # Programs pad with zeros, which are no XML.
        packet = packet.strip(b"\0 \r\n\t")
    try:
        root = ElementTree.fromstring(packet, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        _log.debug("XMP not read: %r", error)
        return {}
    found: dict[tuple[str, str], str | list[str]] = {}
    # Only what is right below: descriptions inside properties tell of other files, such as this one's ingredients.
    for description in (child for rdf in root.iter(f"{_RDF}RDF") for child in rdf.findall(_DESCRIPTION)):
        for name, value in description.items():
            found.setdefault(_property(name), value)
        for element in islice(description, _MAX_PROPERTIES):
            array = next((child for child in element if child.tag in _ARRAYS), None)
            if array is not None:
                items = islice(array.findall(_ITEM), _MAX_PROPERTIES)
                found.setdefault(_property(element.tag), [item.text or "" for item in items])
            elif len(element) == 0 and element.text is not None:
                found.setdefault(_property(element.tag), element.text)
    return found


def _property(name: str) -> tuple[str, str]:
    """``{namespace}name``, as ElementTree has it, to its parts."""
    namespace, _, local = name.rpartition("}")
    return namespace.removeprefix("{"), local


def _raw_profile(image: Image.Image, name: str) -> bytes:
    """A block that ImageMagick put into a PNG as text: a line with its name, one with its length, and its digits."""
    written = image.info.get(f"Raw profile type {name}")
    if not isinstance(written, str) or len(written) > _MAX_HEXADECIMAL:
        return b""
    try:
        return bytes.fromhex("".join(written.strip().split("\n")[2:]))
    except ValueError as error:
        _log.debug("profile of ImageMagick's not read: %r", error)
        return b""
