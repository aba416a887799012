"""Perceptual hashes: turning them, and finding those that are near one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoal_server.domain import near_hashes, phash

hashes = st.integers(0, 2**64 - 1)


def bits(number: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.unpackbits(np.array([number], ">u8").view(np.uint8)).reshape(8, 8)


def nearest(number: int, other: int) -> int:
    """Bits in which hashes differ, over all turns of the other."""
    return int(phash.distances(np.array([number], np.uint64), phash.turned(np.array([other], np.uint64))).min())


@given(hashes)
def test_text_and_number(number: int) -> None:
    assert phash.parse(phash.as_text(number)) == number
    assert phash.parse(phash.as_text(number).upper()) == number


@pytest.mark.parametrize("text", ["", "abc", "0" * 17, "g" * 16, "0x12345678901234", " " * 16, "١" * 16])
def test_what_is_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="16 hexadecimal digits"):
        phash.parse(text)


@given(hashes)
def test_turns_are_those_of_the_bit_matrix(number: int) -> None:
    odd = np.arange(8) % 2
    matrix = bits(number)
    found = [bits(int(each)) for each in phash.turned(np.array([number], np.uint64))[0]]
    for base, ways in ((matrix, found[:4]), (matrix.T, found[4:])):
        expected = [base, base ^ odd, base ^ odd[:, None], base ^ odd ^ odd[:, None]]
        assert all((a == b).all() for a, b in zip(expected, ways, strict=True))


@given(hashes, hashes)
def test_turns_are_a_group(number: int, other: int) -> None:
    pair = np.array([number, other], np.uint64)
    ways = phash.turned(pair)
    assert set(ways[0].tolist()) == set(phash.turned(ways[0, 5:6])[0].tolist())
    assert nearest(number, other) == nearest(other, number)


def test_turned_texts_come_once() -> None:
    # Only the lowest frequency: it is the same when the picture is transposed, and no coefficient of odd frequency.
    texts = phash.turned_texts("8000000000000000")
    assert texts[0] == "8000000000000000"
    assert len(set(texts)) == len(texts) == 4


def test_turned_hashes_are_near_the_hashes_of_turned_photographs(shared_data: Path) -> None:
    ways = [
        None,
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.ROTATE_180,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE,
    ]
    files = sorted((shared_data / "caltech30").glob("*/image_0010.jpg"))
    assert files, "no photographs"
    apart = []
    for file in files:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        guessed = phash.turned(phash.pack([str(imagehash.phash(picture))]))[0]
        for way, guess in zip(ways, guessed, strict=True):
            turned = picture if way is None else picture.transpose(way)
            apart.append(int(phash.distances(phash.pack([str(imagehash.phash(turned))]), guess[None])[0]))
    # If a column were of another way of turning, half the bits would differ.
    assert np.mean(np.array(apart) <= 8) >= 0.97
    assert np.median(apart) <= 2


def brute_force(packed: phash.Hashes, most: int) -> set[tuple[int, int]]:
    nearest = phash.distances(packed[:, None, None], phash.turned(packed)).min(axis=2)
    rows, others = np.nonzero(np.triu(nearest <= most, 1))
    return set(zip(rows.tolist(), others.tolist(), strict=True))


def scattered(seed: int, count: int, flips: int) -> phash.Hashes:
    """A few hashes, and others that differ from one of their turns in a few bits."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, count // 4, np.uint64)
    near = phash.turned(rng.choice(base, count))[np.arange(count), rng.integers(0, 8, count)]
    for _ in range(flips):
        near = near ^ (np.uint64(1) << rng.integers(0, 64, count).astype(np.uint64))
    return np.unique(np.concatenate([base, near]))


def found_near(packed: phash.Hashes) -> list[tuple[int, int]]:
    """Pairs as :func:`brute_force` has them, after looking at the order in which they came."""
    found: list[tuple[int, int]] = []
    finished: set[int] = set()
    for rows, others in near_hashes.near_pairs(packed, 10):
        assert (others < rows).all()
        assert (np.diff(rows * len(packed) + others) > 0).all()
        assert finished.isdisjoint(rows.tolist())
        finished |= set(rows.tolist())
        found += zip(others.tolist(), rows.tolist(), strict=True)
    return found


@pytest.mark.parametrize("at_once", [50, 1_000_000])
@pytest.mark.parametrize("flips", [0, 3, 6])
def test_near_pairs_are_all_found(flips: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = scattered(flips, 120, flips)
    monkeypatch.setattr(near_hashes, "_AT_ONCE", at_once)
    expected = brute_force(packed, 10)
    assert expected
    assert sorted(found_near(packed)) == sorted(expected)


@pytest.mark.parametrize("at_once", [50, 1_000_000])
def test_near_pairs_among_many(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By parts of the hash, as with very many: up to a distance of 7 none is missed, and none is made up."""
    packed = scattered(1, 200, 5)
    all_of_them, near = brute_force(packed, 10), brute_force(packed, 7)
    monkeypatch.setattr(near_hashes, "_ALL_PAIRS", 0)
    monkeypatch.setattr(near_hashes, "_DENSE", 1000)
    monkeypatch.setattr(near_hashes, "_AT_ONCE", at_once)
    found = found_near(packed)
    assert near
    assert near <= set(found) <= all_of_them
    assert len(set(found)) == len(found)


def test_hashes_that_are_near_most_others_are_compared_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    crowd = rng.integers(0, 2**64, 1, np.uint64) ^ (
        np.uint64(1) << rng.integers(0, 64, (150, 5)).astype(np.uint64)
    ).sum(axis=1, dtype=np.uint64)
    packed = rng.permutation(np.unique(np.concatenate([crowd, scattered(2, 100, 5)])))
    expected = brute_force(packed, 10)
    monkeypatch.setattr(near_hashes, "_ALL_PAIRS", 0)
    looked: list[int] = []
    by_parts = near_hashes._of_equal_parts

    def noted(*args: Any) -> near_hashes.Pairs:
        looked.extend(args[3].tolist())
        return by_parts(*args)

    monkeypatch.setattr(near_hashes, "_of_equal_parts", noted)
    found = set(found_near(packed))
    dense = set(np.flatnonzero(np.isin(packed, crowd)).tolist()) - set(looked)
    assert len(dense) > 100
    assert {pair for pair in expected if pair[1] in dense} == {pair for pair in found if pair[1] in dense}
    assert looked


@pytest.mark.parametrize("count", [0, 1])
def test_no_pairs(count: int) -> None:
    assert found_near(np.arange(count, dtype=np.uint64)) == []
