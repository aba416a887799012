"""Which images are the same picture in different files, and which of them to keep.

Two images are duplicates if their perceptual hashes are near each other, turned as they may be, their shapes agree, and
their embeddings are alike: the nearer the hashes, the less alike the embeddings need to be. See :func:`alike`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain import phash
from shoal_server.domain.image import Image, Metadata

#: Photographs of one camera that were taken within this time are a burst.
BURST = timedelta(minutes=1)
#: Photographs of the same second are of a burst if the numbers in their files' names are at most so far apart.
BURST_NUMBERS = 30
#: Formats of what a camera writes beside its JPEG. Raw files of the DNG kind are TIFFs.
BESIDE_JPEG = frozenset({"TIFF", "DNG", "HEIF", "HEIC"})
#: Logarithms of width by height may differ so much, beside a pixel of rounding: thin borders change the shape.
_SHAPE_SLACK = 0.1
#: Fewest and most bits that are set in the hash of a picture that shows something: half of them are above the median,
#: unless many coefficients are equal, as they are in an empty picture.
_MEANINGFUL = (28, 36)

#: Beyond this, scaling a picture changes nothing of what a model sees of it: pixels of the shorter side.
_SEEN_SIDE = 224
#: Most bits in which hashes differ, and the cosine similarity that is then needed.
_UPRIGHT = ((2, 0.70), (4, 0.88), (6, 0.90), (8, 0.92), (10, 0.94))
_MIRRORED = ((8, 0.60),)
_TURNED = ((8, 0.25),)
#: Hashes of upright copies at other scales differ in at most so many bits.
_SCALED_DISTANCE = 4
#: More than any similarity is.
_NEVER = 2.0
#: No two images that are less similar are duplicates, but for some that were scaled down very much.
LEAST_SIMILARITY = 0.25
#: Hashes of duplicates differ in at most so many bits.
MOST_DISTANCE = 10

_CAMERA_NUMBER = re.compile(r"(.*?)(\d{3,9})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Traits:
    """What of an image says whether it is a duplicate, and whether it is the one to keep.

    Attributes:
        hash: perceptual hash as a whole number; None if there is none, or if it says nothing.
        shape: natural logarithm of width by height.
        slack: how far shapes may be apart on account of this image.
        side: pixels of the shorter side, as far as a model can tell.
        camera: manufacturer and model, as far as they are known.
        second: what the camera's clock showed when the picture was taken, to the second; None if it is not known.
        fraction: of that second, in microseconds; None if it is not known.
        number: what stands before the number in its file's name, and the number; None if there is none.
        files: folder and name without its ending, of everywhere it is.
        format: ``JPEG``, ``PNG``, ...
        worth: sorts what is worth most first.
    """

    id: UUID
    hash: int | None
    shape: float
    slack: float
    side: int
    camera: tuple[str | None, str | None]
    second: datetime | None
    fraction: int | None
    number: tuple[str, int] | None
    files: tuple[str, ...]
    format: str
    worth: tuple[int, int, int, datetime, UUID]

    @classmethod
    def of(cls, image: Image) -> Traits:
        """Those of a stored image."""
        metadata = image.metadata
        files = [_file(uri) for uri in (image.uri, *image.also_at)]
        second, fraction = _shown(metadata)
        return cls(
            id=image.id,
            hash=_meaningful(image.phash),
            shape=math.log(max(metadata.width, 1) / max(metadata.height, 1)),
            slack=_SHAPE_SLACK / 2 + 1 / max(min(metadata.width, metadata.height), 1),
            side=max(min(metadata.width, metadata.height, _SEEN_SIDE), 1),
            camera=(metadata.camera_make, metadata.camera_model),
            second=second,
            fraction=fraction,
            number=None if files[0] is None else _number(files[0]),
            files=tuple(file for file in files if file is not None),
            format=metadata.format,
            worth=_worth(image),
        )


@dataclass(frozen=True, slots=True)
class Likeness:
    """How the hashes of the two images of each of n pairs compare.

    Attributes:
        distances: bits in which they differ, turned so that they differ least, uint8 (n,), 0 to 64.
        turns: how one of them must be turned for that, a column of :func:`shoal_server.domain.phash.turned`, int64
            (n,); 0: not at all, 1: mirrored.
        scales: the smaller short side by the larger, as far as embeddings can tell, float32 (n,), above 0, at most 1.
    """

    distances: NDArray[np.uint8]
    turns: NDArray[np.int64]
    scales: NDArray[np.float32]


def likeness(left: Sequence[Traits], right: Sequence[Traits]) -> Likeness:
    """Compares the hashes of pairs of images, turned in the ways that their shapes allow.

    Args:
        left: n images that have hashes.
        right: n images that have hashes.

    Returns:
        Of each pair; the distance is 64 if their shapes do not agree in any way.
    """
    return likeness_of(hashes_of(left), measures(left), phash.turned(hashes_of(right)), measures(right))


def hashes_of(traits: Sequence[Traits]) -> phash.Hashes:
    """The hashes of n images that have hashes, uint64 (n,)."""
    return np.array([each.hash for each in traits], np.uint64)


def measures(traits: Sequence[Traits]) -> NDArray[np.float64]:
    """Shape, slack and side of n images, float64 (n, 3); see :class:`Traits`."""
    return np.array([(each.shape, each.slack, each.side) for each in traits], np.float64).reshape(-1, 3)


def likeness_of(
    hashes: phash.Hashes, measured: NDArray[np.float64], ways: phash.Hashes, other_measured: NDArray[np.float64]
) -> Likeness:
    """As :func:`likeness`, of the images of n pairs as arrays.

    Args:
        hashes: of the one image of each, uint64 (n,).
        measured: of the same, as :func:`measures` gives them.
        ways: of the other, uint64 (n, 8), as :func:`shoal_server.domain.phash.turned` gives them.
        other_measured: of the same.
    """
    distances = phash.distances(hashes[:, None], ways)
    (shape, slack, side), (other_shape, other_slack, other_side) = measured.T, other_measured.T
    both = slack + other_slack
    # The first four ways keep width and height, the others exchange them.
    unlike = np.stack([np.abs(shape - other_shape) > both, np.abs(shape + other_shape) > both], axis=1)
    distances[np.repeat(unlike, phash.TURNS // 2, axis=1)] = phash.BITS
    turns = distances.argmin(axis=1)
    scales = np.minimum(side, other_side) / np.maximum(side, other_side)
    nearest = np.take_along_axis(distances, turns[:, None], axis=1)[:, 0]
    return Likeness(nearest, turns, scales.astype(np.float32))


def alike(compared: Likeness, similarities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pairs show the same picture.

    The limits were chosen on 1,900 photographs of Caltech-101 and its clutter and 26 edits of 300 of them, with the
    ``starter`` model. A picture that is scaled, compressed or recoloured differs in 0 to 4 bits; one that is turned,
    where the hash was turned by its bits, in up to 8, but so do hardly any two different ones when they are turned.
    The similarity of a copy to its original falls about with the root of its scale, and to little more than 0.25 when
    it lies on its side.

    Args:
        compared: their hashes.
        similarities: cosine similarities of their embeddings, float32 (n,), -1 to 1.

    Returns:
        bool (n,).
    """
    return similarities >= _needed(compared)


def least_similarity(distance: int, turn: int) -> float:
    """The cosine similarity that two images of the same resolution need; above 1 if their hashes differ too much.

    Args:
        distance: bits in which their hashes differ, 0 to 64.
        turn: how one was turned for that, as in :class:`Likeness`.
    """
    limits = _UPRIGHT if turn == 0 else _MIRRORED if turn == 1 else _TURNED
    return next((least for most, least in limits if distance <= most), _NEVER)


@cache
def _least_similarities() -> NDArray[np.float32]:
    """:func:`least_similarity` of every distance and turn, float32 (65, 8)."""
    return np.array(
        [[least_similarity(distance, turn) for turn in range(phash.TURNS)] for distance in range(phash.BITS + 1)],
        np.float32,
    )


def _needed(compared: Likeness) -> NDArray[np.float32]:
    least: NDArray[np.float32] = _least_similarities()[compared.distances, compared.turns]
    # Scaling changes few bits: more of them are no sign of it.
    scaled = (compared.turns > 0) | (compared.distances <= _SCALED_DISTANCE)
    return np.where(scaled & (least < _NEVER), least * np.sqrt(compared.scales), least)


def may_be_duplicates(
    left: Traits, right: Traits, *, include_bursts: bool = False, include_pairs: bool = False
) -> bool:
    """Whether nothing but their pictures could tell two images apart.

    Args:
        left: one.
        right: the other.
        include_bursts: photographs of one burst may be duplicates of each other.
        include_pairs: files of one shot in different formats may be.
    """
    if not include_pairs and are_of_one_shot(left, right):
        return False
    apart = _apart(left, right)
    return apart is None or (include_bursts and apart <= BURST)


def are_of_one_shot(left: Traits, right: Traits) -> bool:
    """Whether they are files of one shot: a raw file, TIFF or HEIC, and another format of the same name beside it."""
    return (
        left.format != right.format
        and not BESIDE_JPEG.isdisjoint((left.format, right.format))
        and not set(left.files).isdisjoint(right.files)
    )


def _apart(left: Traits, right: Traits) -> timedelta | None:
    """How long after one another one camera took two photographs; None if they may be copies of one.

    A copy has the very time of its original, or none. Some programs drop the fraction of the second.
    """
    if left.second is None or right.second is None or left.camera != right.camera:
        return None
    if left.second != right.second:
        return abs(left.second - right.second)
    if left.fraction is not None and right.fraction is not None:
        return None if left.fraction == right.fraction else timedelta()
    if left.number is None or right.number is None or left.camera == (None, None):
        return None
    (prefix, number), (other_prefix, other) = left.number, right.number
    return timedelta() if prefix == other_prefix and 0 < abs(number - other) <= BURST_NUMBERS else None


def _meaningful(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        number = phash.parse(text)
    except ValueError:
        return None
    fewest, most = _MEANINGFUL
    return number if fewest <= number.bit_count() <= most else None


def _shown(metadata: Metadata) -> tuple[datetime | None, int | None]:
    """What the camera's clock showed: the second, and the microseconds of it if they are known."""
    if metadata.captured_at is None:
        return None, None
    shown = datetime.fromisoformat(metadata.captured_at).replace(tzinfo=None)
    return shown.replace(microsecond=0), shown.microsecond or None


def _file(uri: str) -> str | None:
    """Folder and name of a file without its ending, in lower case; None if the URI names none."""
    try:
        path = PurePosixPath(unquote(urlsplit(uri).path))
    except ValueError:
        return None
    return str(path.with_suffix("")).casefold() if path.name else None


def _number(file: str) -> tuple[str, int] | None:
    """A camera's number of a photograph at the end of its file's name, and all that stands before it."""
    match = _CAMERA_NUMBER.fullmatch(file)
    return None if match is None else (match[1], int(match[2]))


def _worth(image: Image) -> tuple[int, int, int, datetime, UUID]:
    metadata = image.metadata
    known = (metadata.captured_at, metadata.location, metadata.camera_model or metadata.camera_make)
    ingested = image.ingested_at if image.ingested_at.tzinfo is not None else image.ingested_at.replace(tzinfo=UTC)
    return (
        -metadata.width * metadata.height,
        -sum(each is not None for each in known),
        -metadata.byte_size,
        ingested,
        image.id,
    )
