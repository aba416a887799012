"""Which pairs of images are compared to find duplicates: all that matter, and a bounded number of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.domain import duplicate_candidates, phash, trait_table
from shoal_server.domain.duplicate_candidates import candidates
from shoal_server.domain.duplicates import Traits, alike, likeness, may_be_duplicates
from shoal_server.domain.trait_table import TraitTable

START = datetime(2024, 1, 1, tzinfo=UTC)
CAMERA = ("Nikon", "D70")
ALIKE = np.ones(1, np.float32)


def traits(
    row: int,
    number: int,
    *,
    shape: float = 0.4,
    camera: tuple[str | None, str | None] = CAMERA,
    second: datetime | None = None,
    fraction: int | None = None,
    name: tuple[str, int] | None = None,
    files: tuple[str, ...] = (),
    file_format: str = "JPEG",
) -> Traits:
    worth = (row, 0, 0, START, UUID(int=row))
    return Traits(UUID(int=row), number, shape, 0.05, 224, camera, second, fraction, name, files, file_format, worth)


def crowd(count: int, flips: int = 5) -> list[int]:
    """Different hashes that are all within twice as many bits of each other."""
    rng = np.random.default_rng(0)
    found: dict[int, None] = {}
    while len(found) < count:
        number = 0xB5A1C6D29A7C3E4A
        for bit in rng.choice(64, flips, replace=False).tolist():
            number ^= 1 << bit
        found[number] = None
    return list(found)


def pairs(images: Sequence[Traits], *, include_bursts: bool = False) -> list[tuple[int, int]]:
    """Each with the lower row first."""
    found = [
        (min(pair), max(pair))
        for rows, others in candidates(TraitTable(images), include_bursts=include_bursts)
        for pair in zip(rows.tolist(), others.tolist(), strict=True)
    ]
    assert len(set(found)) == len(found)
    return found


def possible(left: Traits, right: Traits, *, include_bursts: bool = False) -> bool:
    may = may_be_duplicates(left, right, include_bursts=include_bursts, include_pairs=True)
    return may and bool(alike(likeness([left], [right]), ALIKE)[0])


@pytest.mark.parametrize("include_bursts", [False, True])
@pytest.mark.parametrize("at_once", [3, 1 << 18])
def test_a_few_are_all_compared(at_once: int, include_bursts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_candidates, "_AT_ONCE", at_once)
    monkeypatch.setattr(trait_table, "_AT_ONCE", at_once)
    rng = np.random.default_rng(1)
    numbers = [*crowd(12), *rng.integers(0, 2**64, 12, np.uint64).tolist()]
    turned = phash.turned(np.array(numbers, np.uint64))
    images = [
        traits(
            row,
            int(turned[rng.integers(len(numbers)), rng.choice([0, 0, 0, 1, 5])]),
            shape=float(rng.choice([0.4, -0.4, 0.0])),
            second=rng.choice([None, START, START + timedelta(seconds=9), START + timedelta(hours=1)]),  # type: ignore[arg-type]
        )
        for row in range(120)
    ]
    expected = {
        (row, other)
        for row in range(len(images))
        for other in range(row + 1, len(images))
        if possible(images[row], images[other], include_bursts=include_bursts)
    }
    assert len(expected) > 100
    assert set(pairs(images, include_bursts=include_bursts)) == expected


def test_no_images() -> None:
    assert pairs([]) == []


def test_a_thousand_copies_are_not_a_million_pairs() -> None:
    one, two = crowd(2)
    found = pairs([traits(row, one) for row in range(1000)])
    assert len(found) < 32 * 1000
    # The one that is worth most is compared with all.
    assert {other for row, other in found if row == 0} == set(range(1, 1000))
    both = pairs([traits(row, one if row < 500 else two) for row in range(1000)])
    assert {(0, other) for other in range(1, 1000)} <= set(both)
    assert len(both) < 2 * 32 * 1000


def test_a_crowd_of_near_hashes_is_not_quadratic() -> None:
    numbers = crowd(600)
    images = [traits(row, number) for row, number in enumerate(numbers)]
    found = pairs(images)
    counts = Counter(row for _, row in found)
    assert max(counts.values()) == counts[599] == 64
    compared = {other for other, row in found if row == 599}
    nearness = {row: int(likeness([images[599]], [images[row]]).distances[0]) for row in range(599)}
    # Those worth most, one of which keeps the group together, and the nearest.
    assert compared == set(sorted(range(599), key=lambda row: (row >= 16, nearness[row], row))[:64])


def test_hashes_with_several_images_count_as_many() -> None:
    numbers = crowd(200)
    images = [traits(row, numbers[row % 200]) for row in range(800)]
    # With three others of its own hash at most, and with 64 of others.
    assert 64 * 400 < len(pairs(images)) <= (3 + 64) * 800


def test_the_frames_of_a_time_lapse_do_not_displace_a_copy_of_one() -> None:
    numbers = crowd(400)
    frames = [traits(row, number, second=START + timedelta(minutes=row)) for row, number in enumerate(numbers)]
    assert pairs(frames) == []
    # It differs from its original in more bits than from many other frames.
    copy = traits(400, numbers[7] ^ 0b1111, second=frames[7].second)
    near = sum(int(likeness([copy], [frame]).distances[0]) <= 4 for frame in frames)
    assert pairs([*frames, copy]) == [(7, 400)]
    assert near >= 1


def test_those_that_differ_in_shape_do_not_displace_a_copy() -> None:
    numbers = crowd(300)
    others = [traits(row, number, shape=1.2) for row, number in enumerate(numbers[:-1])]
    original = traits(299, numbers[-1])
    copy = traits(300, numbers[-1] ^ 0b1111)
    assert (299, 300) in pairs([*others, original, copy])


optional = st.none() | st.integers(0, 3)


@st.composite
def any_traits(draw: st.DrawFn) -> Traits:
    seconds, fraction = draw(st.none() | st.integers(0, 90)), draw(optional)
    name = draw(st.none() | st.tuples(st.sampled_from("ab"), st.integers(1, 70)))
    return traits(
        0,
        draw(st.sampled_from(crowd(4))),
        shape=draw(st.sampled_from([0.0, 0.4, math.log(2 / 3)])),
        camera=draw(st.sampled_from([CAMERA, (None, None), (None, "D70")])),
        second=None if seconds is None else START + timedelta(seconds=seconds // 30 * 31),
        fraction=None if not fraction else fraction * 250_000,
        name=name,
        files=draw(st.sampled_from([(), ("x",), ("y", "x")])),
        file_format=draw(st.sampled_from(["JPEG", "HEIC", "PNG"])),
    )


@given(st.lists(any_traits(), min_size=2, max_size=5), st.booleans(), st.booleans())
def test_many_pairs_are_judged_as_one_is(images: list[Traits], include_bursts: bool, include_pairs: bool) -> None:
    table = TraitTable(images)
    rows, others = (each.ravel() for each in np.indices((len(images), len(images))))
    may = table.may_be_duplicates(rows, others, include_bursts=include_bursts, include_pairs=include_pairs)
    near = table.nearness(rows, others, include_bursts=include_bursts) < phash.BITS
    for place, (row, other) in enumerate(zip(rows, others, strict=True)):
        left, right = images[row], images[other]
        assert may[place] == may_be_duplicates(left, right, include_bursts=include_bursts, include_pairs=include_pairs)
        assert near[place] == possible(left, right, include_bursts=include_bursts)
