"""What XMP properties become, and that no packet of any kind raises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoal_server.adapters.pillow_decoder.embedded import xmp_properties
from shoal_server.domain.camera_values import MAX_TEXT
from shoal_server.domain.image import Location, Metadata
from shoal_server.domain.xmp import Properties, Property, with_xmp

WITHOUT = Metadata(width=4, height=3, format="JPEG", byte_size=12)

AUX, EXIF, EXIF_EX = "http://ns.adobe.com/exif/1.0/aux/", "http://ns.adobe.com/exif/1.0/", "http://cipa.jp/exif/1.0/"
PHOTOSHOP, TIFF = "http://ns.adobe.com/photoshop/1.0/", "http://ns.adobe.com/tiff/1.0/"
XMP = "http://ns.adobe.com/xap/1.0/"

NAMESPACES = " ".join(
    f'xmlns:{prefix}="{namespace}"'
    for prefix, namespace in {
        "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
        "aux": AUX, "exif": EXIF, "exifEX": EXIF_EX, "photoshop": PHOTOSHOP, "tiff": TIFF, "xmp": XMP,
        "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    }.items()
)  # fmt: skip


def packet(attributes: str = "", elements: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {NAMESPACES}><rdf:Description rdf:about="" {attributes}>{elements}</rdf:Description></rdf:RDF>'
        '</x:xmpmeta>   <?xpacket end="w"?>'
    ).encode()


def properties_of(content: object) -> Properties:
    image = Image.new("L", (1, 1))
    image.info["xmp"] = content
    return xmp_properties(image)


def read(*, properties: dict[Property, str | list[str]], known: Metadata = WITHOUT) -> Metadata:
    return with_xmp(known, properties)


def test_everything_a_program_writes_as_elements_and_as_attributes() -> None:
    simple = {
        "tiff:Make": "NIKON", "tiff:Model": "COOLPIX P6000", "tiff:Orientation": "6",
        "exif:DateTimeOriginal": "2008-10-22T16:28:39.57+02:00", "exif:FNumber": "59/10",
        "exif:ExposureTime": "4/300", "exif:FocalLength": "24/1", "exif:GPSLatitude": "43,28.0469N",
        "exif:GPSLongitude": "11,53,6W", "exif:GPSAltitude": "4312/100", "exif:GPSAltitudeRef": "1",
        "aux:Lens": "NIKKOR 6-24mm",
    }  # fmt: skip
    iso = "<exif:ISOSpeedRatings><rdf:Seq><rdf:li>64</rdf:li></rdf:Seq></exif:ISOSpeedRatings>"
    attributes = " ".join(f'{name}="{value}"' for name, value in simple.items())
    elements = "".join(f"<{name}>{value}</{name}>" for name, value in simple.items())
    expected = Metadata(
        width=4,
        height=3,
        format="JPEG",
        byte_size=12,
        orientation=6,
        captured_at="2008-10-22T16:28:39.57+02:00",
        location=Location(lat=43.46744833, lon=-11.885),
        camera_make="NIKON",
        camera_model="COOLPIX P6000",
        lens="NIKKOR 6-24mm",
        iso=64,
        f_number=5.9,
        exposure_s=0.0133333,
        focal_length_mm=24.0,
        altitude_m=-43.12,
    )

    assert with_xmp(WITHOUT, properties_of(packet(attributes, iso))) == expected
    assert with_xmp(WITHOUT, properties_of(packet("", elements + iso))) == expected
    assert with_xmp(WITHOUT, properties_of(packet("", elements + iso).decode())) == expected
    assert with_xmp(WITHOUT, properties_of(packet("", elements + iso) + b"\0")) == expected


def test_what_exif_says_stays() -> None:
    known = Metadata(
        width=4, height=3, format="JPEG", byte_size=12, captured_at="2001-01-01T00:00:00", camera_make="Canon", iso=100,
        altitude_m=0.0, orientation=1, location=Location(1, 1),
    )  # fmt: skip

    metadata = read(
        known=known,
        properties={
            (EXIF, "DateTimeOriginal"): "2008-10-22T16:28:39Z",
            (TIFF, "Make"): "NIKON",
            (TIFF, "Model"): "D70",
            (TIFF, "Orientation"): "6",
            (EXIF_EX, "PhotographicSensitivity"): "200",
            (EXIF, "GPSAltitude"): "12/1",
            (EXIF, "GPSLatitude"): "51,30N",
            (EXIF, "GPSLongitude"): "0,7W",
        },
    )

    assert (metadata.captured_at, metadata.camera_make, metadata.iso) == ("2001-01-01T00:00:00", "Canon", 100)
    assert (metadata.altitude_m, metadata.orientation, metadata.location) == (0.0, 1, Location(1, 1))
    assert metadata.camera_model == "D70"


ORIGINAL, CREATED = (EXIF, "DateTimeOriginal"), (PHOTOSHOP, "DateCreated")
DIGITIZED, MADE = (EXIF, "DateTimeDigitized"), (XMP, "CreateDate")
CAMERA: dict[Property, str | list[str]] = {(EXIF, "ExposureTime"): "1/200"}


@pytest.mark.parametrize(
    ("properties", "captured_at"),
    [
        ({ORIGINAL: "2008-10-22T16:28:39"}, "2008-10-22T16:28:39"),
        ({ORIGINAL: "2008-10-22T16:28Z"}, "2008-10-22T16:28:00Z"),
        ({ORIGINAL: "2008-10-22T16:28:39.123456789-03:30"}, "2008-10-22T16:28:39.123456-03:30"),
        ({ORIGINAL: "2008:10:22 16:28:39"}, "2008-10-22T16:28:39"),
        ({ORIGINAL: "2008-10-22"}, "2008-10-22T00:00:00"),
        ({ORIGINAL: "2008-10"}, None),
        ({ORIGINAL: "1935"}, None),
        ({ORIGINAL: "2008-02-30T16:28:39"}, None),
        ({ORIGINAL: ["2008-10-22T16:28:39"]}, "2008-10-22T16:28:39"),
        ({ORIGINAL: []}, None),
        ({CREATED: "1935-05-01"}, "1935-05-01T00:00:00"),
        ({ORIGINAL: "yesterday", CREATED: "1935-05-01"}, "1935-05-01T00:00:00"),
        # A scan of 2010 is not a picture of 2010.
        ({CREATED: "1935-05-01", MADE: "2010-01-01T10:00:00"}, "1935-05-01T00:00:00"),
        ({MADE: "2010-01-01T10:00:00"}, None),
        ({DIGITIZED: "2010-01-01T10:00:00"}, None),
        # In a camera taking and digitizing are one.
        (CAMERA | {MADE: "2010-01-01T10:00:00+01:00"}, "2010-01-01T10:00:00+01:00"),
        (CAMERA | {DIGITIZED: "2010-01-01T10:00:00", MADE: "2011-01-01T10:00:00"}, "2010-01-01T10:00:00"),
    ],
)
def test_capture_time(properties: dict[Property, str | list[str]], captured_at: str | None) -> None:
    assert read(properties=properties).captured_at == captured_at


@pytest.mark.parametrize(
    ("latitude", "longitude", "location"),
    [
        ("51,30.5N", "0,7.5W", Location(51.50833333, -0.125)),
        ("51,30,30N", "0,7,30w", Location(51.50833333, -0.125)),
        ("51.5S", "10E", Location(-51.5, 10.0)),
        ("51,30.5", "0,7.5W", None),
        ("51,75N", "0,7.5W", None),
        ("95,0N", "0,7.5W", None),
        ("51,30N", "181,0E", None),
        ("51,30E", "0,7.5N", None),
        ("-51,30N", "0,7.5W", None),
        ("0,0N", "0,0E", None),
        ("٥١,30N", "0,7.5W", None),
        ("51,30N", "", None),
    ],
)
def test_location(latitude: str, longitude: str, location: Location | None) -> None:
    metadata = read(properties={(EXIF, "GPSLatitude"): latitude, (EXIF, "GPSLongitude"): longitude})

    assert metadata.location == location


@pytest.mark.parametrize("value", ["0/0", "1/0", "-1/2", "nan", "inf", "", "f/2", "9" * 400, "1/" + "0" * 30])
def test_senseless_numbers_are_left_out(value: str) -> None:
    names = ("FNumber", "ExposureTime", "FocalLength", "ISOSpeedRatings")

    assert read(properties={(EXIF, name): value for name in names}) == WITHOUT


def test_the_newer_names_of_lens_and_iso_win() -> None:
    metadata = read(
        properties={
            (AUX, "Lens"): "24.0-70.0 mm f/2.8",
            (EXIF_EX, "LensModel"): "EF24-70mm f/2.8L",
            (EXIF, "ISOSpeedRatings"): ["65535"],
            (EXIF_EX, "PhotographicSensitivity"): "102400",
        }
    )

    assert (metadata.lens, metadata.iso) == ("EF24-70mm f/2.8L", 102400)


def test_what_is_inside_a_property_tells_of_another_picture() -> None:
    other = f'<xmpMM:Ingredients><rdf:Bag><rdf:li><rdf:Description tiff:Make="NIKON" {NAMESPACES}/></rdf:li></rdf:Bag>'

    assert with_xmp(WITHOUT, properties_of(packet("", other + "</xmpMM:Ingredients>"))) == WITHOUT


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"<",
        b"<a/>",
        b"\xff\xfe<",
        packet()[:-60],
        packet('tiff:Make="NIKON"').replace(b'"NIKON"', b'"NIK\0ON"'),
        packet('tiff:Make="&bomb;"'),
        b'<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;">]>' + packet('tiff:Make="&c;"'),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + packet('tiff:Make="NIKON"'),
        b'<?xml version="1.0" encoding="nonsense"?>' + packet('tiff:Make="NIKON"'),
        packet('tiff:Make="NIKON"') + b" " * 1_000_000,
        packet("", "<tiff:Make>" * 20_000),
        b"<a>" * 100_000,
        b"<a>" * 50_000 + b"</a>" * 50_000,
        17,
        None,
    ],
)
def test_a_packet_that_cannot_be_read_says_nothing(content: object) -> None:
    assert with_xmp(WITHOUT, properties_of(content)) == WITHOUT


def test_a_packet_in_utf_16() -> None:
    content = packet('tiff:Make="Zeiß"').decode().encode("utf-16")

    assert with_xmp(WITHOUT, properties_of(content)).camera_make == "Zeiß"


def sound(metadata: Metadata) -> None:
    assert metadata.orientation in (None, *range(1, 9))
    assert metadata.iso is None or 1 <= metadata.iso < 2**31
    for number in (metadata.f_number, metadata.exposure_s, metadata.focal_length_mm):
        assert number is None or 0 < number < math.inf
    for text in (metadata.camera_make, metadata.camera_model, metadata.lens, metadata.captured_at):
        assert text is None or 1 <= len(text.encode()) <= 4 * MAX_TEXT
    assert metadata.local_time in (True, False)
    if metadata.location is not None:
        assert -90 <= metadata.location.lat <= 90
        assert -180 <= metadata.location.lon <= 180


NAMES = [
    ORIGINAL, CREATED, DIGITIZED, MADE, (TIFF, "Make"), (TIFF, "Model"), (TIFF, "Orientation"), (AUX, "Lens"),
    (EXIF_EX, "LensModel"), (EXIF_EX, "LensSpecification"), (EXIF_EX, "PhotographicSensitivity"),
    *((EXIF, name) for name in (
        "FNumber", "ExposureTime", "FocalLength", "ISOSpeedRatings", "GPSLatitude", "GPSLongitude", "GPSAltitude",
        "GPSAltitudeRef", "ApertureValue", "ShutterSpeedValue",
    )),
]  # fmt: skip
values = st.one_of(
    st.text(),
    st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?"),
    st.from_regex(r"-?[0-9]{1,12}/[0-9]{1,12}"),
    st.from_regex(r"[0-9]{1,3}(,[0-9]{1,3}(\.[0-9]+)?){1,2}[NSEW]"),
)


@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(values, st.lists(values, max_size=5))))
def test_arbitrary_values_give_sound_metadata_or_none(properties: dict[Property, str | list[str]]) -> None:
    sound(read(properties=properties))


SEED = packet(
    'tiff:Make="NIKON" exif:GPSLatitude="43,28.0469N" exif:GPSLongitude="11,53,6E"',
    "<exif:DateTimeOriginal>2008-10-22T16:28:39</exif:DateTimeOriginal>",
)


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(max_size=6)), max_size=6), st.integers(0, 200))
def test_damaged_packets_never_raise(damages: list[tuple[int, bytes]], cut: int) -> None:
    content = bytearray(SEED)
    for start, damage in damages:
        content[start : start + len(damage)] = damage

    sound(with_xmp(WITHOUT, properties_of(bytes(content[: len(content) - cut]))))


@given(st.binary())
def test_arbitrary_bytes_never_raise(content: bytes) -> None:
    assert properties_of(content) == {}
