"""What is a duplicate, what is not, and which one is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain.duplicate_groups import Alike, Member, groups_of
from shoal_server.domain.duplicates import Traits, alike, likeness, may_be_duplicates
from shoal_server.domain.image import Image, Location, Metadata, Sha256
from shoal_server.domain.phash import as_text, pack, turned

#: A hash of some picture: half of its bits are set.
HASH = "b5a1c6d29a7c3e4a"
FLICKERS = [1 << 3, 1 << 17, 1 << 29, 1 << 40, 1 << 51]


def image(
    number: int = 0, *, uri: str = "", phash: str | None = HASH, also_at: tuple[str, ...] = (), **fields: Any
) -> Image:
    metadata: dict[str, Any] = {"width": 3000, "height": 2000, "format": "JPEG", "byte_size": 1_000_000} | fields
    return Image(
        id=UUID(int=number),
        sha256=Sha256(f"{number:064x}"),
        uri=uri or f"file:///photos/{number:03}/a.jpg",
        tags=(),
        metadata=Metadata(**metadata),
        ingested_at=datetime(2024, 1, 1, tzinfo=UTC),
        also_at=also_at,
        phash=phash,
    )


def traits(number: int = 0, **fields: Any) -> Traits:
    return Traits.of(image(number, **fields))


def judged(left: Traits, right: Traits, similarity: float) -> bool:
    return bool(alike(likeness([left], [right]), np.array([similarity], np.float32))[0])


def changed(text: str, bits: int) -> str:
    """A hash that differs in so many bits, and in no fewer when it is turned."""
    number = int(text, 16)
    for flicker in FLICKERS[:bits]:
        number ^= flicker
    return as_text(number)


@pytest.mark.parametrize(
    ("bits", "enough", "little"), [(0, 0.75, 0.65), (2, 0.75, 0.65), (4, 0.9, 0.85), (5, 0.95, 0.85)]
)
def test_the_nearer_the_hashes_the_less_alike_the_embeddings_need_to_be(
    bits: int, enough: float, little: float
) -> None:
    left, right = traits(), traits(1, phash=changed(HASH, bits))
    assert likeness([left], [right]).distances.tolist() == [bits]
    assert judged(left, right, enough)
    assert judged(right, left, enough)
    assert not judged(left, right, little)


@pytest.mark.parametrize("way", range(8))
def test_turned_pictures(way: int) -> None:
    other = as_text(int(turned(pack([HASH]))[0][way]))
    sides = (2000, 3000) if way >= 4 else (3000, 2000)
    left, right = traits(), traits(1, phash=other, width=sides[0], height=sides[1])
    compared = likeness([left], [right])
    assert compared.distances.tolist() == [0]
    assert (compared.turns[0] > 0) == (way > 0)
    assert judged(left, right, 0.75)
    # On its side a picture is hardly like itself to a model; its mirror image is.
    assert judged(left, right, 0.3) == (way > 1)


def test_shapes_must_agree() -> None:
    assert likeness([traits()], [traits(1, width=2000, height=2000)]).distances.tolist() == [64]
    assert likeness([traits()], [traits(1, width=3100, height=2100)]).distances.tolist() == [0]
    # A very small copy is rounded to whole pixels.
    assert likeness([traits()], [traits(1, width=11, height=8)]).distances.tolist() == [0]


def test_small_copies_are_less_alike() -> None:
    thumbnail = traits(1, width=42, height=28)
    assert judged(traits(), thumbnail, 0.3)
    assert not judged(traits(), traits(1), 0.3)
    # Two thumbnails are equally blurred.
    assert not judged(traits(2, width=42, height=28), thumbnail, 0.3)
    # Scaling changes few bits.
    assert not judged(traits(), traits(1, width=42, height=28, phash=changed(HASH, 5)), 0.85)


@pytest.mark.parametrize("phash", [None, "8000000000000000", "ffffffffffffffff", "nonsense"])
def test_hashes_that_say_nothing(phash: str | None) -> None:
    assert traits(phash=phash).hash is None


CAMERA: dict[str, Any] = {"camera_make": "Nikon", "camera_model": "D70"}
NOON: dict[str, Any] = {"captured_at": "2019-05-01T12:00:00", **CAMERA}


@pytest.mark.parametrize(
    ("left", "right", "same", "burst"),
    [
        pytest.param(NOON, NOON, True, True, id="a copy has the very same time"),
        pytest.param(NOON, {}, True, True, id="a copy without metadata"),
        pytest.param(NOON, {"captured_at": "2019-05-01T12:00:02", **CAMERA}, False, True, id="two seconds later"),
        pytest.param(NOON, {"captured_at": "2019-05-01T12:05:00", **CAMERA}, False, False, id="five minutes later"),
        pytest.param(NOON, {"captured_at": "2019-05-01T12:00:00+02:00", **CAMERA}, True, True, id="offset left out"),
        pytest.param(NOON, {"captured_at": "2019-05-01T12:00:00.25", **CAMERA}, True, True, id="fraction left out"),
        pytest.param(
            {"captured_at": "2019-05-01T12:00:00.50", **CAMERA},
            {"captured_at": "2019-05-01T12:00:00.25", **CAMERA},
            False,
            True,
            id="a quarter of a second later",
        ),
        pytest.param(
            NOON, {**NOON, "captured_at": "2019-05-01T12:00:02", "camera_model": "D90"}, True, True, id="other"
        ),
        pytest.param(
            {"captured_at": "2019-05-01T12:00:00"}, {"captured_at": "2019-05-01T12:00:02"}, False, True, id="no camera"
        ),
        pytest.param(
            {**NOON, "uri": "file:///a/DSC_0100.JPG"},
            {**NOON, "uri": "file:///a/DSC_0101.JPG"},
            False,
            True,
            id="numbers",
        ),
        pytest.param(
            {**NOON, "uri": "file:///a/DSC_0100.JPG"},
            {**NOON, "uri": "file:///b/DSC_0101.JPG"},
            True,
            True,
            id="folder",
        ),
        pytest.param(
            {**NOON, "uri": "file:///a/DSC_0100.JPG"},
            {**NOON, "uri": "file:///a/DSC_0100_1.JPG"},
            True,
            True,
            id="a numbered copy",
        ),
        pytest.param({"uri": "file:///a/p_001.jpg"}, {"uri": "file:///a/p_002.jpg"}, True, True, id="numbers alone"),
    ],
)
def test_bursts(left: dict[str, Any], right: dict[str, Any], same: bool, burst: bool) -> None:
    one, two = traits(0, **left), traits(1, **right)
    assert may_be_duplicates(one, two) == may_be_duplicates(two, one) == same
    assert may_be_duplicates(one, two, include_bursts=True) == burst


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (("file:///a/IMG_1.JPG", "JPEG"), ("file:///a/IMG_1.HEIC", "HEIF"), False),
        (("file:///a/IMG_1.JPG", "JPEG"), ("file:///a/img_1.dng", "TIFF"), False),
        (("file:///a/IMG%201.JPG", "JPEG"), ("file:///a/IMG 1.tif", "TIFF"), False),
        (("file:///a/IMG_1.JPG", "JPEG"), ("file:///b/IMG_1.HEIC", "HEIF"), True),
        (("file:///a/IMG_1.JPG", "JPEG"), ("file:///a/IMG_1.png", "PNG"), True),
        (("file:///a/IMG_1.JPG", "JPEG"), ("file:///a/IMG_1.jpeg", "JPEG"), True),
        (("a.jpg", "JPEG"), ("", "TIFF"), True),
        (("http://[", "JPEG"), ("file:///", "TIFF"), True),
    ],
)
def test_pairs(left: tuple[str, str], right: tuple[str, str], same: bool) -> None:
    one, two = traits(0, uri=left[0], format=left[1]), traits(1, uri=right[0], format=right[1])
    assert may_be_duplicates(one, two) == may_be_duplicates(two, one) == same
    assert may_be_duplicates(one, two, include_pairs=True)


def test_pairs_by_another_place() -> None:
    moved = traits(0, uri="file:///new/x.jpg", also_at=("file:///a/IMG_1.JPG",))
    assert not may_be_duplicates(moved, traits(1, uri="file:///a/IMG_1.HEIC", format="HEIF"))


@given(st.text(), st.text())
def test_any_uri(uri: str, other: str) -> None:
    assert isinstance(may_be_duplicates(traits(0, uri=uri), traits(1, uri=other, format="TIFF")), bool)


def test_worth() -> None:
    """Most pixels, then most metadata, then most bytes, then first; what comes later in the order decides nothing."""
    place = Location(48.0, 11.0)
    larger = image(5, width=3001)
    told = image(4, **NOON, location=place)
    less_told = image(3, **NOON, byte_size=9_000_000)
    heavier = image(2, byte_size=2_000_000)
    first, last = image(0), image(1)
    ordered = [larger, told, less_told, heavier, first, last]
    backwards = ordered[::-1]
    assert sorted(backwards, key=lambda each: Traits.of(each).worth) == ordered


def edges(*pairs: tuple[int, int, float]) -> Alike:
    return Alike(
        np.array([row for row, _, _ in pairs], np.int64),
        np.array([other for _, other, _ in pairs], np.int64),
        np.array([similarity for _, _, similarity in pairs], np.float32),
        np.zeros(len(pairs), np.uint8),
    )


def rows(groups: list[list[Member]]) -> list[list[int]]:
    return [[member.row for member in group] for group in groups]


def test_members_are_like_the_keeper() -> None:
    """3 is like 2 alone: it is not drawn in by way of it."""
    everything = [traits(number) for number in range(5)]
    found = groups_of(everything, edges((0, 1, 0.9), (0, 2, 0.95), (2, 3, 0.99)))
    assert rows(found) == [[0, 2, 1]]
    assert found[0][0] == Member(0, 1.0, 0)
    assert found[0][1].similarity == pytest.approx(0.95)


def test_what_is_left_is_a_group_of_its_own() -> None:
    everything = [traits(number) for number in range(7)]
    found = groups_of(everything, edges((0, 1, 0.9), (1, 2, 0.9), (2, 3, 0.9), (6, 5, 0.9), (4, 5, 0.8), (4, 6, 0.7)))
    assert rows(found) == [[4, 5, 6], [0, 1], [2, 3]]


def test_a_burst_is_not_joined_by_a_copy_without_its_time() -> None:
    stripped = traits(0, width=3001)
    shots = [traits(number, captured_at=f"2019-05-01T12:00:0{number}", **CAMERA) for number in (1, 2)]
    copy = traits(3, captured_at="2019-05-01T12:00:02", **CAMERA)
    pairs = edges((0, 1, 0.9), (0, 2, 0.95), (0, 3, 0.94), (2, 3, 1.0))
    assert rows(groups_of([stripped, *shots, copy], pairs)) == [[0, 2, 3]]
    assert rows(groups_of([stripped, *shots, copy], pairs, include_bursts=True)) == [[0, 2, 3, 1]]


def test_a_pair_is_not_joined_by_a_copy_of_both() -> None:
    both = [traits(1, uri="file:///a/1.jpg"), traits(2, uri="file:///a/1.heic", format="HEIF")]
    pairs = edges((0, 1, 0.9), (0, 2, 0.95))
    assert rows(groups_of([traits(0), *both], pairs)) == [[0, 2]]
    assert rows(groups_of([traits(0), *both], pairs, include_pairs=True)) == [[0, 2, 1]]


def test_no_groups() -> None:
    assert groups_of([], Alike.joined([])) == []
    assert groups_of([traits()], Alike.joined([edges(), edges()])) == []
