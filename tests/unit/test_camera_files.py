"""Files of many cameras and programs against what another program reads in them.

The values below are exiftool's, version 12.57, each read once and copied here:

    exiftool -n -r -File:ImageWidth -File:ImageHeight -Orientation -EXIF:DateTimeOriginal \\
        -EXIF:OffsetTimeOriginal -EXIF:SubSecTimeOriginal -EXIF:Make -EXIF:Model -EXIF:ISO \\
        -Composite:GPSLatitude -Composite:GPSLongitude -Composite:GPSAltitude exif

Sizes are as stored; orientations 5 to 8 exchange width and height. Where ours differs from exiftool's, the test below
says why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.application.ports import ImageDecoder
from shoal_server.domain.errors import BrokenImage
from shoal_server.domain.image import DecodedImage, Location

MIN_SIDE = 224


@dataclass(frozen=True)
class Read:
    """What exiftool read in a file. None: there is no such tag."""

    width: int
    height: int
    captured_at: str | None = None
    make: str | None = None
    model: str | None = None
    iso: int | None = None
    orientation: int | None = 1


EXIFTOOL = {
    "heic/IMG_5195.HEIC": Read(
        2566, 3313, "2021-04-11T15:47:53.054-05:00", "Apple", "iPhone 11 Pro Max", 32, orientation=None
    ),
    "heic/samplefilehub.heif": Read(640, 426),
    "jpg/Canon_40D.jpg": Read(100, 68, "2008-05-30T15:56:01.00", "Canon", "Canon EOS 40D", 100),
    "jpg/Fujifilm_FinePix_E500.jpg": Read(59, 100, "2006-08-17T09:24:48", "FUJIFILM", "FinePix E500", 100),
    "jpg/Nikon_D70.jpg": Read(100, 66, "2008-03-15T09:52:01", "NIKON CORPORATION", "NIKON D70", 200),
    "jpg/Pentax_K10D.jpg": Read(100, 72, "2008-05-04T16:47:24", "PENTAX Corporation", "PENTAX K10D", 200),
    "jpg/exif-org/canon-ixus.jpg": Read(640, 480, "2001-06-09T15:17:32", "Canon", "Canon DIGITAL IXUS"),
    "jpg/exif-org/fujifilm-dx10.jpg": Read(1024, 768, "2001-04-12T20:33:14", "FUJIFILM", "DX-10", 150),
    "jpg/exif-org/fujifilm-finepix40i.jpg": Read(600, 450, "2000-08-04T18:22:57", "FUJIFILM", "FinePix40i", 200),
    "jpg/exif-org/fujifilm-mx1700.jpg": Read(640, 480, "2000-09-02T14:30:10", "FUJIFILM", "MX-1700ZOOM", 125),
    "jpg/exif-org/kodak-dc210.jpg": Read(
        640, 480, "2000-10-26T16:46:51", "Eastman Kodak Company", "DC210 Zoom (V05.00)"
    ),
    "jpg/exif-org/kodak-dc240.jpg": Read(
        640, 480, "1999-05-25T21:00:09", "EASTMAN KODAK COMPANY", "KODAK DC240 ZOOM DIGITAL CAMERA"
    ),
    "jpg/exif-org/nikon-e950.jpg": Read(800, 600, "2001-04-06T11:51:40", "NIKON", "E950", 80),
    "jpg/exif-org/olympus-c960.jpg": Read(
        640, 480, "2000-11-07T10:41:43", "OLYMPUS OPTICAL CO.,LTD", "C960Z,D460Z", 125
    ),
    "jpg/exif-org/olympus-d320l.jpg": Read(640, 480, orientation=None),
    "jpg/exif-org/ricoh-rdc5300.jpg": Read(896, 600, "2000-05-31T21:50:40", "RICOH", "RDC-5300"),
    "jpg/exif-org/sanyo-vpcg250.jpg": Read(640, 480, "1998-01-01T00:00:00", "SANYO Electric Co.,Ltd.", "SR6"),
    "jpg/exif-org/sanyo-vpcsx550.jpg": Read(640, 480, "2000-11-18T21:14:19", "SANYO Electric Co.,Ltd.", "SX113", 400),
    "jpg/exif-org/sony-cybershot.jpg": Read(640, 480, "2000-09-30T10:59:45", "SONY", "CYBERSHOT", 100),
    "jpg/exif-org/sony-d700.jpg": Read(672, 512, "1998-12-01T14:22:36", "SONY", "DSC-D700", 200),
    "jpg/exif-org/sony-powershota5.jpg": Read(1024, 768, orientation=None),
    "jpg/gps/DSCN0010.jpg": Read(640, 480, "2008-10-22T16:28:39", "NIKON", "COOLPIX P6000", 64),
    "jpg/gps/DSCN0012.jpg": Read(640, 480, "2008-10-22T16:29:49", "NIKON", "COOLPIX P6000", 64),
    "jpg/gps/DSCN0021.jpg": Read(640, 480, "2008-10-22T16:38:20", "NIKON", "COOLPIX P6000", 64),
    "jpg/gps/DSCN0025.jpg": Read(640, 480, "2008-10-22T16:43:21", "NIKON", "COOLPIX P6000", 64),
    "jpg/gps/DSCN0027.jpg": Read(640, 480, "2008-10-22T16:44:01", "NIKON", "COOLPIX P6000", 64),
    "jpg/gps/DSCN0029.jpg": Read(640, 480, "2008-10-22T16:46:53", "NIKON", "COOLPIX P6000", 64),
    "jpg/gps/DSCN0038.jpg": Read(640, 480, "2008-10-22T16:52:15", "NIKON", "COOLPIX P6000", 103),
    "jpg/gps/DSCN0040.jpg": Read(640, 480, "2008-10-22T16:55:37", "NIKON", "COOLPIX P6000", 64),
    "jpg/gps/DSCN0042.jpg": Read(640, 480, "2008-10-22T17:00:07", "NIKON", "COOLPIX P6000", 64),
    "jpg/hdr/iphone_hdr_YES.jpg": Read(3264, 2448, "2015-04-10T20:12:23.550", "Apple", "iPhone 6", 32),
    "jpg/invalid/image00971.jpg": Read(636, 227),
    "jpg/invalid/image01088.jpg": Read(425, 120),
    "jpg/invalid/image01137.jpg": Read(88, 64),
    # The day is not EXIF's but in XMP, as photoshop:DateCreated.
    "jpg/long_description.jpg": Read(100, 73, "2003-08-31T00:00:00"),
    "jpg/orientation/portrait_1.jpg": Read(450, 600),
    "jpg/orientation/portrait_2.jpg": Read(450, 600, orientation=2),
    "jpg/orientation/portrait_3.jpg": Read(450, 600, orientation=3),
    "jpg/orientation/portrait_4.jpg": Read(450, 600, orientation=4),
    "jpg/orientation/portrait_5.jpg": Read(600, 450, orientation=5),
    "jpg/orientation/portrait_6.jpg": Read(600, 450, orientation=6),
    "jpg/orientation/portrait_7.jpg": Read(600, 450, orientation=7),
    "jpg/orientation/portrait_8.jpg": Read(600, 450, orientation=8),
    "jpg/xmp/BlueSquare.jpg": Read(360, 216),
    "tiff/Arbitro.tiff": Read(174, 38),
    "tiff/BSG1.tiff": Read(635, 348),
    "tiff/Tless0.tiff": Read(643, 448),
}

POSITIONS = {
    "heic/IMG_5195.HEIC": Location(39.0513444444444, -94.2887722222222),
    "jpg/gps/DSCN0010.jpg": Location(43.4674483333333, 11.8851266666639),
    "jpg/gps/DSCN0012.jpg": Location(43.4671566666639, 11.8853949999972),
    "jpg/gps/DSCN0021.jpg": Location(43.4670816666639, 11.8845383333306),
    "jpg/gps/DSCN0025.jpg": Location(43.468365, 11.8816349999722),
    "jpg/gps/DSCN0027.jpg": Location(43.4684416666667, 11.881515),
    "jpg/gps/DSCN0029.jpg": Location(43.4682433333306, 11.8801716666389),
    "jpg/gps/DSCN0038.jpg": Location(43.4672549999972, 11.8792133333333),
    "jpg/gps/DSCN0040.jpg": Location(43.4660116666389, 11.8791116666389),
    "jpg/gps/DSCN0042.jpg": Location(43.464455, 11.8814783333333),
    "jpg/hdr/iphone_hdr_YES.jpg": Location(40.4469722222222, -3.72475277777778),
}

ALTITUDES = {"heic/IMG_5195.HEIC": 260.5606383, "jpg/hdr/iphone_hdr_YES.jpg": 639.6111111}


@pytest.fixture
async def decoder() -> AsyncIterator[ImageDecoder]:
    decoder = PillowDecoder(max_pixels=100_000_000, min_side=MIN_SIDE)
    yield decoder
    await decoder.aclose()


async def decode(decoder: ImageDecoder, folder: Path, name: str) -> DecodedImage:
    if name.startswith("heic/"):
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    return await decoder.decode((folder / "exif" / name).read_bytes(), with_preview=True)


def test_every_file_is_in_the_table(shared_data: Path) -> None:
    folder = shared_data / "exif"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(EXIFTOOL)


@pytest.mark.parametrize("name", EXIFTOOL)
async def test_size_time_and_camera(decoder: ImageDecoder, shared_data: Path, name: str) -> None:
    theirs = EXIFTOOL[name]

    decoded = await decode(decoder, shared_data, name)

    ours = decoded.metadata
    turned = theirs.orientation is not None and theirs.orientation >= 5
    width, height = (theirs.height, theirs.width) if turned else (theirs.width, theirs.height)
    assert (ours.width, ours.height) == (width, height)
    assert ours.orientation == theirs.orientation
    assert (ours.captured_at, ours.camera_make, ours.camera_model) == (theirs.captured_at, theirs.make, theirs.model)
    assert ours.local_time == (theirs.captured_at is not None and name != "heic/IMG_5195.HEIC")
    assert ours.iso == theirs.iso
    assert ours.frame_count == 1
    rows, columns, _ = decoded.pixels.shape
    assert min(rows, columns) >= min(width, height, MIN_SIDE)
    assert columns / rows == pytest.approx(width / height, rel=0.02)
    assert decoded.preview is not None
    assert len(decoded.preview.phash) == 16


@pytest.mark.parametrize("name", EXIFTOOL)
async def test_position(decoder: ImageDecoder, shared_data: Path, name: str) -> None:
    ours = (await decode(decoder, shared_data, name)).metadata

    theirs = POSITIONS.get(name)
    assert (ours.location is None) == (theirs is None)
    if ours.location is not None and theirs is not None:
        assert ours.location.lat == pytest.approx(theirs.lat, abs=1e-5)
        assert ours.location.lon == pytest.approx(theirs.lon, abs=1e-5)
    assert ours.altitude_m == pytest.approx(ALTITUDES.get(name), abs=0.01)


async def test_exposure_and_lens_of_a_phone(decoder: ImageDecoder, shared_data: Path) -> None:
    ours = (await decode(decoder, shared_data, "jpg/hdr/iphone_hdr_YES.jpg")).metadata

    assert ours.lens == "iPhone 6 back camera 4.15mm f/2.2"
    assert (ours.f_number, ours.focal_length_mm) == (2.2, 4.15)
    assert ours.exposure_s == pytest.approx(1 / 40, rel=1e-4)


async def test_exposure_in_apex_units(decoder: ImageDecoder, shared_data: Path) -> None:
    # It has neither ExposureTime nor FNumber; exiftool shows ShutterSpeedValue as 0.0110485 s, ApertureValue as 4.
    ours = (await decode(decoder, shared_data, "jpg/exif-org/ricoh-rdc5300.jpg")).metadata

    assert (ours.f_number, ours.exposure_s) == (4.0, 0.0110485)


async def test_a_lens_in_xmp(decoder: ImageDecoder, shared_data: Path) -> None:
    ours = (await decode(decoder, shared_data, "jpg/Nikon_D70.jpg")).metadata

    assert ours.lens == "100.0 mm f/2.8"
    # XMP has 2008-03-15T09:52:01-04:00, with the offset of the computer that wrote it. EXIF knows no offset, and wins.
    assert ours.captured_at == "2008-03-15T09:52:01"


async def test_the_same_portrait_in_eight_orientations(decoder: ImageDecoder, shared_data: Path) -> None:
    names = [f"jpg/orientation/portrait_{orientation}.jpg" for orientation in range(1, 9)]
    portraits = [await decode(decoder, shared_data, name) for name in names]

    assert {portrait.pixels.shape for portrait in portraits} == {(600, 450, 3)}
    hashes = [int(portrait.preview.phash, 16) for portrait in portraits if portrait.preview is not None]
    for number in hashes:
        # Each was drawn on and encoded for itself.
        assert (number ^ hashes[0]).bit_count() <= 6
    first = portraits[0].pixels.astype(int)
    for portrait in portraits[1:]:
        # Turned wrongly, the difference is above 40.
        assert np.abs(portrait.pixels - first).mean() < 25


@pytest.mark.parametrize("name", EXIFTOOL)
async def test_cut_in_half_each_is_refused_with_a_reason(decoder: ImageDecoder, shared_data: Path, name: str) -> None:
    if name.startswith("heic/"):
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    content = (shared_data / "exif" / name).read_bytes()

    with pytest.raises(BrokenImage, match="damaged or cut off"):
        await decoder.decode(content[: len(content) // 2])
