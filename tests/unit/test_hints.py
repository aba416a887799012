"""When and where: only what is true of a cluster and sets it apart."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.domain import hints
from shoal_server.domain.hints import Hint, time_and_place_hints
from shoal_server.domain.image import Location

PARIS = Location(48.8566, 2.3522)
SYDNEY = Location(-33.8688, 151.2093)


def hints_of(*clusters: list[str | None]) -> dict[int, Hint]:
    """Hints of clusters 1, 2, ... given the times of their images."""
    times = [time for cluster in clusters for time in cluster]
    ids = np.repeat(np.arange(1, len(clusters) + 1), [len(cluster) for cluster in clusters])
    return time_and_place_hints(times, [None] * len(times), ids)


def places_of(*clusters: list[Location | None]) -> dict[int, Hint]:
    locations = [location for cluster in clusters for location in cluster]
    ids = np.repeat(np.arange(1, len(clusters) + 1), [len(cluster) for cluster in clusters])
    return time_and_place_hints([None] * len(locations), locations, ids)


def days(year: int, month: int, *which: int) -> list[str | None]:
    return [f"{year}-{month:02}-{day:02}T10:00:00" for day in which]


def months(year: int) -> list[str | None]:
    return [f"{year}-{month:02}-03T08:00:00+02:00" for month in range(1, 13)]


def around(centre: Location, km: float, count: int = 10) -> list[Location | None]:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    step = km / 111.2
    return [
        Location(
            centre.lat + step * float(np.sin(a)), centre.lon + step * float(np.cos(a)) / np.cos(np.radians(centre.lat))
        )
        for a in angles
    ]


def test_a_month_and_a_year() -> None:
    found = hints_of(days(2019, 7, 1, 2, 5, 9, 14, 20), months(2021))

    assert found[1].times == ("2019-07", "2019")
    assert found[2].times == ("2021",)


def test_a_day_is_the_finest() -> None:
    assert hints_of(days(2019, 7, *[14] * 6), months(2021))[1].times == ("2019-07-14", "2019-07", "2019")


def test_a_day_is_where_the_camera_had_it() -> None:
    evening = ["2019-07-14T23:30:00-05:00"] * 3 + ["2019-07-14T23:30:00+09:00"] * 3 + ["2019-07-14T23:59:59Z"]

    assert hints_of([*evening], months(2021))[1].times[0] == "2019-07-14"


def test_what_everything_shares_is_no_hint() -> None:
    assert hints_of(days(2019, 7, 1, 2, 3, 4, 5), days(2019, 7, 1, 2, 3, 4, 5)) == {}


def test_the_other_images_count_with_or_without_a_cluster() -> None:
    july, ids = days(2019, 7, 1, 2, 3, 4, 5), np.array([1] * 5 + [-1] * 5)

    assert time_and_place_hints(july * 2, [None] * 10, ids) == {}
    found = time_and_place_hints([*july, *days(2020, 1, 1, 2, 3, 4, 5)], [None] * 10, ids)
    assert found[1].times == ("2019-07", "2019")
    assert set(found) == {1}


def test_four_of_five_must_agree() -> None:
    four, three = days(2019, 7, 1, 2, 3, 4) + days(2020, 1, 1), days(2019, 7, 1, 2, 3) + days(2020, 1, 1, 2)

    assert hints_of(four, months(2021))[1].times == ("2019-07", "2019")
    assert 1 not in hints_of(three, months(2021))


def test_half_must_be_dated() -> None:
    dated = days(2019, 7, 1, 2, 3, 4, 5)

    assert 1 in hints_of(dated + [None] * 5, months(2021))
    assert 1 not in hints_of(dated + [None] * 6, months(2021))
    assert 1 not in hints_of(dated[:4], months(2021))


@pytest.mark.parametrize("text", ["", "2019", "2019-13-01T00:00:00", "0000-00-00T00:00:00", "yesterday at noon"])
def test_a_senseless_time_counts_as_none(text: str) -> None:
    assert hints_of([text] * 10, months(2021)) == {2: Hint(("2021",))} or hints_of([text] * 10, months(2021)) == {}


def test_a_time_tells_by_itself_only_in_a_long_history() -> None:
    july = days(2019, 7, 1, 2, 5, 9, 14, 20)
    years: list[str | None] = [time for year in range(2010, 2023) for time in months(year)]

    assert hints_of(july, years)[1].telling == "2019-07"
    assert hints_of(july, days(2019, 8, 1, 2, 3, 4, 5))[1].telling is None


def test_a_place() -> None:
    found = places_of(around(PARIS, 0.5), around(SYDNEY, 4))

    assert found[1].place == "48.86°N 2.35°E"
    assert found[2].place == "33.9°S 151.2°E"
    assert found[1].telling == "48.86°N 2.35°E"


def test_a_place_all_over_the_world_is_none() -> None:
    scattered: list[Location | None] = [
        Location(lat, lon) for lat in range(-60, 61, 30) for lon in range(-180, 180, 60)
    ]

    assert 1 not in places_of(scattered, around(PARIS, 0.1))


def test_a_place_at_the_date_line_is_one_place() -> None:
    taveuni: list[Location | None] = [Location(-16.85, 179.999), Location(-16.85, -179.999)] * 5

    assert places_of(taveuni, around(PARIS, 0.5))[1].place in {"16.85°S 180.00°E", "16.85°S 180.00°W"}


def test_where_all_images_are_is_no_hint() -> None:
    assert places_of(around(PARIS, 0.4), around(PARIS, 0.4)) == {}


def test_a_place_holds_however_it_was_rounded() -> None:
    hint = places_of(around(PARIS, 0.5), around(SYDNEY, 4))[1]

    assert hint.holds("48.86°N 2.35°E")
    assert hint.holds("48.86°N 2.36°E")
    assert not hint.holds("48.96°N 2.35°E")
    assert not hint.holds("48.86°S 2.35°E")
    assert not hint.holds("2019-07")
    assert not Hint().holds("48.86°N 2.35°E")


def test_a_place_is_not_compared_with_everything_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    distances_km = hints._distances_km

    def counted(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
        compared.append(len(points))
        return distances_km(points, centre)

    monkeypatch.setattr(hints, "_distances_km", counted)
    latitudes = np.linspace(-60, 60, 200).tolist()
    found = places_of(*[around(Location(latitude, 10.0), 0.4, 20) for latitude in latitudes])
    assert [hint.place for hint in found.values()] == [
        f"{abs(each):.2f}°{'N' if each > 0 else 'S'} 10.00°E" for each in latitudes
    ]
    # Each is tried as the middle of its cluster's area, and some more.
    assert sum(compared) < 25 * 20 * 200


def test_others_at_the_place_speak_against_it() -> None:
    assert places_of(around(PARIS, 0.4), [*around(PARIS, 0.2, 3), *around(SYDNEY, 0.4, 7)])[1].place == "48.86°N 2.35°E"
    assert 1 not in places_of(around(PARIS, 0.4), [*around(PARIS, 0.2, 6), *around(SYDNEY, 0.4, 5)])


def test_nothing_known() -> None:
    assert time_and_place_hints([None] * 6, [None] * 6, np.array([1, 1, 1, 2, 2, -1])) == {}
    assert time_and_place_hints([], [], np.array([], dtype=np.int64)) == {}


_times = st.none() | st.datetimes().map(lambda moment: moment.isoformat()) | st.sampled_from(["2019-07-14T10:00:00Z"])
_locations = st.none() | st.builds(Location, st.floats(-90, 90), st.floats(-180, 180)) | st.just(PARIS)


@given(st.lists(st.tuples(_times, _locations, st.integers(-1, 3)), max_size=60), st.randoms(use_true_random=False))
def test_a_hint_is_true_and_the_order_of_images_does_not_matter(
    images: list[tuple[str | None, Location | None, int]], random: Random
) -> None:
    shuffled = images.copy()
    random.shuffle(shuffled)

    found, again = (
        time_and_place_hints([i[0] for i in rows], [i[1] for i in rows], np.array([i[2] for i in rows], dtype=np.int64))
        for rows in (images, shuffled)
    )

    assert {c: h.times for c, h in found.items() if h.times} == {c: h.times for c, h in again.items() if h.times}
    for cluster, hint in found.items():
        assert cluster != -1
        for text in hint.times:
            dated = [time for time, _, of in images if of == cluster and time is not None]
            assert sum(time.startswith(text) for time in dated) >= 0.8 * len(dated)
            assert hint.holds(text)
        assert hint.place is None or hint.holds(hint.place)
        assert hint.telling is None or hint.telling in hint.texts
