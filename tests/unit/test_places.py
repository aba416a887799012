from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.adapters import place_finder
from shoal_server.adapters.place_finder import DensePlaces, dense_places
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import ClusteringFailed
from shoal_server.domain.groupings import Place
from shoal_server.domain.image import Location
from shoal_server.domain.places import (
    SLACK_KM,
    center_and_radius,
    degrees_of,
    describe_places,
    distance_km,
    in_words,
    join_nearby,
    nearest_within,
    place_of,
)

KM_PER_DEGREE = 111.195


def spot(lat: float, lon: float, count: int, spread_km: float, seed: int = 0) -> NDArray[np.float64]:
    """Positions about a point, also across the antimeridian."""
    rng = np.random.default_rng([seed, count])
    north, east = rng.normal(0, spread_km / KM_PER_DEGREE, (2, count))
    return np.stack([lat + north, (lon + east / math.cos(math.radians(lat)) + 180) % 360 - 180], axis=1)


PARIS, VERSAILLES, SUVA = (48.857, 2.352), (48.805, 2.120), (-17.9, 180.0)


def positions() -> st.SearchStrategy[list[tuple[float, float]]]:
    return st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), max_size=40)


def test_every_town_is_one_place_whatever_its_size() -> None:
    towns = [spot(*PARIS, 200, 3.0), spot(*VERSAILLES, 40, 0.05), spot(*SUVA, 30, 0.5)]
    labels = dense_places(np.concatenate(towns))
    assert labels.tolist() == [0] * 200 + [1] * 40 + [2] * 30


def test_one_spot_is_not_shattered() -> None:
    assert set(dense_places(spot(*PARIS, 400, 0.03)).tolist()) == {0}


def test_a_town_is_found_beside_images_scattered_over_the_country() -> None:
    scattered = spot(46.0, 3.0, 30, 200.0)
    labels = dense_places(np.concatenate([spot(*PARIS, 40, 0.1), scattered]))
    assert set(labels[:40].tolist()) == {0}
    assert (labels[40:] == NOISE).all()


@pytest.mark.parametrize("count", [5, 6, 1000])
def test_images_at_the_very_same_position_are_a_place(count: int) -> None:
    labels = dense_places(np.repeat([PARIS, SUVA, (10.0, 10.0)], [count, count, 4], axis=0))
    assert labels.tolist() == [0] * count + [1] * count + [NOISE] * 4


def test_the_pole_and_the_antimeridian_cut_nothing() -> None:
    rng = np.random.default_rng(3)
    pole = np.stack([90 - np.abs(rng.normal(0, 0.002, 50)), rng.uniform(-180, 180, 50)], axis=1)
    labels = dense_places(np.concatenate([pole, spot(*SUVA, 50, 0.5)]))
    assert labels.tolist() == [0] * 50 + [1] * 50


def test_few_images_are_no_place() -> None:
    assert dense_places(np.empty((0, 2))).tolist() == []
    assert dense_places(np.array([PARIS] * 4)).tolist() == [NOISE] * 4


@settings(max_examples=30, deadline=None)
@given(positions())
def test_any_positions_can_be_grouped(rows: list[tuple[float, float]]) -> None:
    labels = dense_places(np.array(rows, dtype=np.float64).reshape(-1, 2))
    assert labels.shape == (len(rows),)
    assert set(labels.tolist()) <= {NOISE, *range(int(labels.max(initial=-1)) + 1)}
    assert all((labels == label).sum() >= place_finder.FEWEST_IMAGES for label in set(labels.tolist()) - {NOISE})


async def test_another_process_finds_the_same() -> None:
    degrees = np.concatenate([spot(*PARIS, 50, 1.0), spot(*SUVA, 50, 0.5)])
    apart, here = await asyncio.gather(DensePlaces(few=10).find(degrees), DensePlaces().find(degrees))
    assert (apart == here).all()


async def test_an_error_in_the_other_process_is_told() -> None:
    with pytest.raises(ClusteringFailed, match="ValueError"):
        await DensePlaces(few=0).find(np.zeros((10, 3)))


async def test_a_task_that_is_cancelled_ends_the_process() -> None:
    import multiprocessing

    finding = asyncio.create_task(DensePlaces(few=0).find(spot(*PARIS, 100, 1.0)))
    while not any(child.name == "shoal-places" for child in multiprocessing.active_children()):
        await asyncio.sleep(0.01)
    finding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finding
    assert not any(child.name == "shoal-places" for child in multiprocessing.active_children())


def test_the_middle_is_right_across_the_antimeridian_and_at_a_pole() -> None:
    center, radius = center_and_radius(np.array([[0.0, 179.0], [0.0, -179.0]]))
    assert (center.lat, abs(center.lon)) == pytest.approx((0, 180))
    assert radius == pytest.approx(KM_PER_DEGREE, rel=1e-4)
    center, radius = center_and_radius(np.array([[89.0, lon] for lon in (0, 90, 180, -90)]))
    assert center.lat == pytest.approx(90)
    assert radius == pytest.approx(KM_PER_DEGREE, rel=1e-4)


@given(positions().filter(bool))
def test_every_position_lies_within_the_radius(rows: list[tuple[float, float]]) -> None:
    center, radius = center_and_radius(np.array(rows))
    assert -90 <= center.lat <= 90
    assert -180 <= center.lon <= 180
    assert max(distance_km(center, Location(*row)) for row in rows) <= radius + 1e-6


def test_distances_are_those_of_the_globe() -> None:
    assert distance_km(Location(48.8566, 2.3522), Location(51.5074, -0.1278)) == pytest.approx(343.6, abs=0.5)
    assert distance_km(Location(90, 0), Location(-90, 0)) == pytest.approx(math.pi * 6371.0088)


def test_a_new_image_joins_the_nearest_place_it_is_close_enough_to() -> None:
    places = [Place(4, "a", 9, Location(*PARIS), 10.0), Place(7, "b", 9, Location(*VERSAILLES), 10.0)]
    assert place_of(Location(*PARIS), places) == 4
    assert place_of(Location(*VERSAILLES), places) == 7
    assert place_of(Location(PARIS[0] + (10 + 0.9 * SLACK_KM) / KM_PER_DEGREE, PARIS[1]), places) == 4
    assert place_of(Location(PARIS[0] + (10 + 1.1 * SLACK_KM) / KM_PER_DEGREE, PARIS[1]), places) is None
    assert place_of(None, places) is None
    assert place_of(Location(math.nan, 0), places) is None
    assert place_of(Location(*PARIS), []) is None


@given(positions(), positions())
def test_the_nearest_place_is_the_nearest(rows: list[tuple[float, float]], centers: list[tuple[float, float]]) -> None:
    middles = [Location(*center) for center in centers]
    chosen = nearest_within(np.array(rows).reshape(-1, 2), middles, [math.inf] * len(middles))
    for row, choice in zip(rows, chosen.tolist(), strict=True):
        away = [distance_km(Location(*row), middle) for middle in middles]
        assert choice == NOISE if not away else away[choice] == pytest.approx(min(away), abs=0.5)


def test_images_on_the_edge_join_as_they_would_if_they_came_tomorrow() -> None:
    town = spot(*PARIS, 50, 0.1)
    edge, far, unknown = [PARIS[0] + 0.5 / KM_PER_DEGREE, PARIS[1]], [50.0, 2.0], [math.nan, math.nan]
    degrees = np.array([*town.tolist(), edge, far, unknown])
    labels, extents = join_nearby(np.array([3] * 50 + [NOISE] * 3), degrees)
    assert labels.tolist() == [3] * 51 + [NOISE] * 2
    assert extents == {3: center_and_radius(town)}


def test_senseless_positions_are_none() -> None:
    locations = [None, Location(91, 0), Location(0, 181), Location(math.inf, 0), Location(-90, 180)]
    assert np.isnan(degrees_of(locations)).all(axis=1).tolist() == [True] * 4 + [False]
    assert degrees_of([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("center", "radius", "words"),
    [
        (PARIS, 0.1, "48.857°N 2.352°E"),
        (PARIS, 3.0, "48.86°N 2.35°E"),
        (PARIS, 20.0, "48.9°N 2.4°E"),
        (PARIS, 49.0, "49°N 2°E"),
        ((-33.87, -70.6), 3.0, "33.87°S 70.60°W"),
        ((-0.001, -0.001), 3.0, "0.00°N 0.00°E"),
        ((0.0, -180.0), 3.0, "0.00°N 180.00°E"),
    ],
)
def test_coordinates_are_written_as_people_do(center: tuple[float, float], radius: float, words: str) -> None:
    assert in_words(Location(*center), radius) == words


def test_no_two_places_share_a_name() -> None:
    near = {2: (Location(48.8571, 2.3520), 3.0), 5: (Location(48.8569, 2.3522), 3.0), 9: (Location(48.8572, 2.3), 3.0)}
    places = describe_places(np.array([2] * 5 + [5] * 8 + [9] * 5 + [NOISE]), near, ())
    assert [(place.id, place.name, place.size) for place in places] == [
        (2, "48.86°N 2.35°E (2)", 5),
        (5, "48.86°N 2.35°E", 8),
        (9, "48.86°N 2.30°E", 5),
    ]


def test_a_place_keeps_its_name_until_it_moves() -> None:
    former = [Place(2, "48.86°N 2.35°E", 5, Location(48.857, 2.352), 3.0)]
    ids = np.array([2] * 5)
    [stays] = describe_places(ids, {2: (Location(48.867, 2.352), 3.0)}, former)
    assert stays.name == "48.86°N 2.35°E"
    [moved] = describe_places(ids, {2: (Location(48.877, 2.352), 3.0)}, former)
    assert moved.name == "48.88°N 2.35°E"
