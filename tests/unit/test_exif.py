"""What EXIF tags become, and that no value of any kind raises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain.camera_values import MAX_ALTITUDE, MAX_TEXT, MIN_ALTITUDE
from shoal_server.domain.exif import BASE_TAGS, EXIF_TAGS, GPS_TAGS, with_exif
from shoal_server.domain.image import Location, Metadata

WITHOUT = Metadata(width=4, height=3, format="JPEG", byte_size=12)

MAKE, MODEL, ORIENTATION, CHANGED = 0x010F, 0x0110, 0x0112, 0x0132
EXPOSURE_TIME, F_NUMBER, ISO, FOCAL_LENGTH, LENS = 0x829A, 0x829D, 0x8827, 0x920A, 0xA434
ISO_SPEED = 0x8833
DATE, OFFSET, SUB_SECONDS = 0x9003, 0x9011, 0x9291
DIGITIZED, OFFSET_CHANGED, OFFSET_DIGITIZED, SUB_SECONDS_DIGITIZED = 0x9004, 0x9010, 0x9012, 0x9292
SHUTTER_SPEED, APERTURE, FILE_SOURCE, LENS_SPECIFICATION, LENS_MAKE = 0x9201, 0x9202, 0xA300, 0xA432, 0xA433

ARETINE_SQUARE = {1: "N", 2: (43.0, 28.0, 2.814), 3: "E", 4: (11.0, 53.0, 6.45599999)}


class Ratio:
    """A rational whose denominator may be 0, as image libraries have it."""

    def __init__(self, numerator: int, denominator: int) -> None:
        self.numerator = numerator
        self.denominator = denominator


class Hostile:
    """Raises when it is looked at."""

    @property
    def numerator(self) -> int:
        raise RuntimeError

    def __float__(self) -> float:
        raise RecursionError


def read(
    base: Mapping[int, object] | None = None,
    exif_ifd: Mapping[int, object] | None = None,
    gps_ifd: Mapping[int, object] | None = None,
) -> Metadata:
    return with_exif(WITHOUT, base or {}, exif_ifd or {}, gps_ifd or {})


def test_no_tags_leave_the_file_s_own_metadata() -> None:
    assert read() == WITHOUT


def test_everything_a_camera_writes() -> None:
    metadata = read(
        {MAKE: "NIKON", MODEL: "COOLPIX P6000", ORIENTATION: 6},
        {
            DATE: "2008:10:22 16:28:39",
            OFFSET: "+02:00",
            SUB_SECONDS: "57",
            LENS: "NIKKOR 6-24mm",
            ISO: 64,
            F_NUMBER: Ratio(59, 10),
            EXPOSURE_TIME: Ratio(4, 300),
            FOCAL_LENGTH: Ratio(24, 1),
        },
        ARETINE_SQUARE,
    )

    assert metadata == Metadata(
        width=4,
        height=3,
        format="JPEG",
        byte_size=12,
        orientation=6,
        captured_at="2008-10-22T16:28:39.57+02:00",
        location=Location(lat=43.46744833, lon=11.88512667),
        camera_make="NIKON",
        camera_model="COOLPIX P6000",
        lens="NIKKOR 6-24mm",
        iso=64,
        f_number=5.9,
        exposure_s=0.0133333,
        focal_length_mm=24.0,
    )


@pytest.mark.parametrize(
    ("tags", "captured_at"),
    [
        ({DATE: "2008:10:22 16:28:39"}, "2008-10-22T16:28:39"),
        ({DATE: b"2008:10:22 16:28:39\0"}, "2008-10-22T16:28:39"),
        ({DATE: "2008-10-22T16:28:39"}, "2008-10-22T16:28:39"),
        ({DATE: "2008:10:22 16:28:39", OFFSET: "Z"}, "2008-10-22T16:28:39Z"),
        ({DATE: "2008:10:22 16:28:39", OFFSET: "-03:30"}, "2008-10-22T16:28:39-03:30"),
        ({DATE: "2008:10:22 16:28:39", OFFSET: "+25:00"}, "2008-10-22T16:28:39"),
        ({DATE: "2008:10:22 16:28:39", OFFSET: "   :  "}, "2008-10-22T16:28:39"),
        ({DATE: "2008:10:22 16:28:39", SUB_SECONDS: "123456789"}, "2008-10-22T16:28:39.123456"),
        ({DATE: "2008:10:22 16:28:39", SUB_SECONDS: "5 \0"}, "2008-10-22T16:28:39.5"),
        ({DATE: "2008:10:22 16:28:39", SUB_SECONDS: "-1"}, "2008-10-22T16:28:39"),
        ({DATE: "2008:10:22 16:28:39", SUB_SECONDS: "²"}, "2008-10-22T16:28:39"),
        ({DATE: "0000:00:00 00:00:00"}, None),
        ({DATE: "    :  :     :  :  "}, None),
        ({DATE: "2023:02:29 10:00:00"}, None),
        ({DATE: "2023:01:01 24:61:00"}, None),
        ({DATE: "yesterday"}, None),
        ({DATE: 20081022}, None),
        ({OFFSET: "+02:00", SUB_SECONDS: "5"}, None),
    ],
)
def test_capture_time(tags: dict[int, object], captured_at: str | None) -> None:
    assert read(exif_ifd=tags).captured_at == captured_at


CLOCK, LATER = "2008:10:22 16:28:39", "2010:01:01 00:00:00"


@pytest.mark.parametrize(
    ("base", "tags", "captured_at"),
    [
        # The offset of the last change is the capture's as well if nothing was changed since.
        ({CHANGED: CLOCK}, {DATE: CLOCK, OFFSET_CHANGED: "+02:00"}, "2008-10-22T16:28:39+02:00"),
        ({CHANGED: LATER}, {DATE: CLOCK, OFFSET_CHANGED: "+02:00"}, "2008-10-22T16:28:39"),
        ({}, {DATE: CLOCK, OFFSET_CHANGED: "+02:00"}, "2008-10-22T16:28:39"),
        ({CHANGED: CLOCK}, {DATE: CLOCK, OFFSET_CHANGED: "+02:00", OFFSET: "+01:00"}, "2008-10-22T16:28:39+01:00"),
        ({}, {DATE: CLOCK, DIGITIZED: CLOCK, OFFSET_DIGITIZED: "-05:00"}, "2008-10-22T16:28:39-05:00"),
        ({}, {DATE: CLOCK, DIGITIZED: LATER, OFFSET_DIGITIZED: "-05:00"}, "2008-10-22T16:28:39"),
        # When a camera digitized is when it took the picture; when a scanner did is not.
        ({}, {DIGITIZED: CLOCK, SUB_SECONDS_DIGITIZED: "5", ISO: 100}, "2008-10-22T16:28:39.5"),
        ({}, {DIGITIZED: CLOCK, OFFSET_DIGITIZED: "Z", FILE_SOURCE: b"\3"}, "2008-10-22T16:28:39Z"),
        ({}, {DATE: "0000:00:00 00:00:00", DIGITIZED: CLOCK, F_NUMBER: Ratio(4, 1)}, "2008-10-22T16:28:39"),
        ({}, {DIGITIZED: CLOCK, SUB_SECONDS: "5", FILE_SOURCE: 3}, "2008-10-22T16:28:39"),
        ({}, {DIGITIZED: CLOCK}, None),
        ({}, {DIGITIZED: CLOCK, FILE_SOURCE: b"\2", ISO: 100}, None),
        # When the file was changed is never when the picture was taken.
        ({CHANGED: CLOCK}, {ISO: 100}, None),
    ],
)
def test_capture_time_by_other_tags(base: dict[int, object], tags: dict[int, object], captured_at: str | None) -> None:
    assert read(base, tags).captured_at == captured_at


def test_a_time_without_an_offset_is_local() -> None:
    assert read(exif_ifd={DATE: CLOCK}).local_time
    assert not read(exif_ifd={DATE: CLOCK, OFFSET: "+00:00"}).local_time


@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_a_recorded_moment_survives(moment: datetime, minutes: int) -> None:
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    tags = {
        DATE: f"{moment.year:04}:{moment:%m:%d %H:%M:%S}",
        OFFSET: offset,
        SUB_SECONDS: f"{moment.microsecond:06}",
    }

    captured_at = read(exif_ifd=tags).captured_at

    assert captured_at is not None
    read_back = datetime.fromisoformat(captured_at)
    assert read_back.replace(tzinfo=None) == moment
    assert read_back.utcoffset() == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({1: "S", 3: "W"}, Location(lat=-43.46744833, lon=-11.88512667)),
        ({1: b"s\0", 3: "w"}, Location(lat=-43.46744833, lon=-11.88512667)),
        ({2: (43.5,), 4: (Fraction(23, 2), 30)}, Location(lat=43.5, lon=12.0)),
        ({2: (90, 0, 0), 4: (180, 0, 0)}, Location(lat=90.0, lon=180.0)),
        ({2: (0, 0, 0)}, Location(lat=0.0, lon=11.88512667)),
        ({2: (95, 0, 0)}, None),
        ({2: (90, 0, 1)}, None),
        ({4: (181, 0, 0)}, None),
        ({2: (43, 61, 0)}, None),
        ({2: (43, 75, 0)}, None),
        ({2: (43, 0, 75)}, None),
        ({2: (-43, 0, 0)}, None),
        ({2: (43, 28, Ratio(0, 0))}, None),
        ({2: (43, 28, math.nan)}, None),
        ({2: (math.inf, 0, 0)}, None),
        ({2: ()}, None),
        ({2: (43, 28, 2, 1)}, None),
        ({2: 43.0}, None),
        ({2: None}, None),
        ({1: None}, None),
        ({3: "X"}, None),
        ({1: "E"}, None),
        ({2: (0, 0, 0), 4: (0, 0, 0)}, None),
    ],
)
def test_location(change: dict[int, object], location: Location | None) -> None:
    assert read(gps_ifd=ARETINE_SQUARE | change).location == location


@pytest.mark.parametrize(
    ("value", "ref", "altitude_m"),
    [
        (Ratio(26056, 100), b"\0", 260.56),
        (Ratio(26056, 100), None, 260.56),
        (Ratio(43, 1), b"\1", -43.0),
        (Ratio(43, 1), 1, -43.0),
        (Ratio(43, 1), 2, 43.0),
        (Ratio(43, 1), b"\3", -43.0),
        (Ratio(0, 1), 1, 0.0),
        (Ratio(43, 1), b"\1\0", 43.0),
        (Ratio(0, 0), 0, None),
        (Ratio(4294967295, 100), 0, None),
        (Ratio(13000, 1), 1, None),
        (math.inf, 0, None),
        ("sea", 0, None),
    ],
)
def test_altitude(value: object, ref: object, altitude_m: float | None) -> None:
    assert read(gps_ifd={5: ref, 6: value}).altitude_m == altitude_m


@pytest.mark.parametrize(
    ("tags", "exposure_s", "f_number"),
    [
        ({SHUTTER_SPEED: Ratio(5, 1), APERTURE: Ratio(4, 1)}, 0.03125, 4.0),
        ({SHUTTER_SPEED: Ratio(-2, 1), APERTURE: Ratio(5, 1)}, 4.0, 5.7),
        ({SHUTTER_SPEED: Ratio(5, 1), EXPOSURE_TIME: Ratio(1, 30)}, 0.0333333, None),
        ({APERTURE: Ratio(4, 1), F_NUMBER: Ratio(41, 10)}, None, 4.1),
        ({EXPOSURE_TIME: Ratio(0, 0), SHUTTER_SPEED: Ratio(5, 1)}, 0.03125, None),
        ({SHUTTER_SPEED: Ratio(5000, 1), APERTURE: Ratio(5000, 1)}, None, None),
        ({SHUTTER_SPEED: Ratio(-5000, 1), APERTURE: Ratio(0, 1)}, None, None),
        ({EXPOSURE_TIME: Ratio(4294967295, 1), F_NUMBER: Ratio(4294967295, 1)}, None, None),
    ],
)
def test_exposure(tags: dict[int, object], exposure_s: float | None, f_number: float | None) -> None:
    metadata = read(exif_ifd=tags)

    assert (metadata.exposure_s, metadata.f_number) == (exposure_s, f_number)


ZOOM = (Ratio(24, 1), Ratio(70, 1), Ratio(28, 10), Ratio(28, 10))


@pytest.mark.parametrize(
    ("tags", "lens"),
    [
        ({LENS: "EF24-70mm f/2.8L", LENS_MAKE: "Canon", LENS_SPECIFICATION: ZOOM}, "EF24-70mm f/2.8L"),
        ({LENS_MAKE: "Canon", LENS_SPECIFICATION: ZOOM}, "Canon 24-70mm f/2.8"),
        ({LENS: "0.0 mm f/0.0", LENS_SPECIFICATION: ZOOM}, "24-70mm f/2.8"),
        ({LENS_SPECIFICATION: (Ratio(50, 1), Ratio(50, 1), Ratio(18, 10), Ratio(18, 10))}, "50mm f/1.8"),
        ({LENS_SPECIFICATION: (*ZOOM[:2], Ratio(35, 10), Ratio(56, 10))}, "24-70mm f/3.5-5.6"),
        ({LENS_SPECIFICATION: (*ZOOM[:2], Ratio(0, 0), Ratio(0, 0))}, "24-70mm"),
        ({LENS_SPECIFICATION: (Ratio(0, 0),) * 4}, None),
        ({LENS_SPECIFICATION: (ZOOM[1], ZOOM[0], *ZOOM[2:])}, None),
        ({LENS_SPECIFICATION: ZOOM[:3]}, None),
        ({LENS_MAKE: "Canon"}, None),
        ({LENS: "----"}, None),
    ],
)
def test_lens(tags: dict[int, object], lens: str | None) -> None:
    assert read(exif_ifd=tags).lens == lens


@pytest.mark.parametrize(
    "value",
    [0, -1, 0.0, math.nan, math.inf, -math.inf, Ratio(0, 0), Ratio(1, 0), Ratio(0, 5), "", "f/2", b"\0", (), None, {}],
)
def test_senseless_numbers_are_left_out(value: object) -> None:
    metadata = read({ORIENTATION: value}, dict.fromkeys((ISO, F_NUMBER, EXPOSURE_TIME, FOCAL_LENGTH), value))

    assert metadata == WITHOUT


@pytest.mark.parametrize(
    ("value", "f_number"),
    [
        (Ratio(28, 10), 2.8),
        (Fraction(28, 10), 2.8),
        (2.8, 2.8),
        ((2.8, 4.0), 2.8),
        ("2.8", 2.8),
        (Ratio(17999, 10000), 1.7999),
        (Ratio(2147483647, 1193046471), 1.8),
        (10**400, None),
        (Hostile(), None),
    ],
)
def test_numbers(value: object, f_number: float | None) -> None:
    assert read(exif_ifd={F_NUMBER: value}).f_number == f_number


@pytest.mark.parametrize(
    ("tags", "iso"),
    [
        ({ISO: 400}, 400),
        ({ISO: (400, 400)}, 400),
        ({ISO: 65535, ISO_SPEED: 102400}, 102400),
        ({ISO: 65535}, None),
        ({ISO: 0.4}, None),
        ({ISO: 10**12}, None),
    ],
)
def test_iso(tags: dict[int, object], iso: int | None) -> None:
    assert read(exif_ifd=tags).iso == iso


@pytest.mark.parametrize(("value", "orientation"), [(1, 1), (8, 8), ((6,), 6), (9, None), (1.5, None), ("x", None)])
def test_orientation(value: object, orientation: int | None) -> None:
    assert read({ORIENTATION: value}).orientation == orientation


@pytest.mark.parametrize(
    ("value", "make"),
    [
        ("Canon\0\0\0", "Canon"),
        (b"Canon\0", "Canon"),
        ("  NIKON \t CORPORATION\r\n", "NIKON CORPORATION"),
        ("NIKON\0\x1b[31mCORP", "NIKON [31mCORP"),
        ("Can\ud800on", "Can on"),
        ("Café 1".encode(), "Café 1"),
        ("Café 1".encode("latin-1"), "Café 1"),
        (b"Canon\0 what was here before", "Canon"),
        ("x" * 1000, "x" * MAX_TEXT),
        ("----", None),
        ("\0\0", None),
        ("", None),
        (7, None),
    ],
)
def test_text(value: object, make: str | None) -> None:
    assert read({MAKE: value}).camera_make == make


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.fractions(),
    st.complex_numbers(),
    st.text(st.characters()),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.builds(Ratio, st.integers(), st.integers()),
    st.builds(Hostile),
    st.builds(object),
    st.lists(st.one_of(st.floats(), st.integers(), st.builds(Ratio, st.integers(), st.integers())), max_size=4),
).flatmap(lambda value: st.sampled_from([value, (value,), (value, value, value), [value]]))


def directory(*tags: int) -> st.SearchStrategy[dict[int, object]]:
    return cast(
        "st.SearchStrategy[dict[int, object]]",
        st.dictionaries(st.sampled_from(tags), anything),
    )


@given(
    directory(*BASE_TAGS),
    directory(*EXIF_TAGS),
    st.one_of(directory(*GPS_TAGS), directory(2, 4).map(lambda tags: ARETINE_SQUARE | tags)),
)
def test_arbitrary_values_give_sound_metadata_or_none(
    base: dict[int, object], exif_ifd: dict[int, object], gps_ifd: dict[int, object]
) -> None:
    metadata = with_exif(WITHOUT, base, exif_ifd, gps_ifd)

    assert metadata.orientation in (None, *range(1, 9))
    assert metadata.iso is None or 1 <= metadata.iso < 2**31
    for number in (metadata.f_number, metadata.exposure_s, metadata.focal_length_mm):
        assert number is None or 0 < number < math.inf
    for text in (metadata.camera_make, metadata.camera_model, metadata.lens, metadata.captured_at):
        assert text is None or 1 <= len(text.encode()) <= 4 * MAX_TEXT
    assert metadata.altitude_m is None or MIN_ALTITUDE <= metadata.altitude_m <= MAX_ALTITUDE
    assert metadata.local_time in (True, False)
    if metadata.location is not None:
        assert -90 <= metadata.location.lat <= 90
        assert -180 <= metadata.location.lon <= 180
