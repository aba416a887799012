"""Slopes of cost curves, and their picture."""

from __future__ import annotations

from pathlib import Path

import cost_curves
import pytest
from cost_curves import Point, kept_points, laws
from curve_plot import draw
from growth_law import fitted


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 1.7])
def test_a_power_law_is_found(slope: float) -> None:
    law = fitted([(n, 3.0 * n**slope) for n in (1_000, 10_000, 100_000)])
    assert law.slope == pytest.approx(slope, abs=1e-9)
    assert law.at(1_000_000) == pytest.approx(3.0 * 1_000_000**slope)
    assert (law.start, law.stop) == (1_000, 100_000)
    assert law.residual == pytest.approx(0.0, abs=1e-9)


def test_points_off_the_line_are_told() -> None:
    law = fitted([(1, 1.0), (10, 20.0), (100, 100.0)])
    assert law.slope == pytest.approx(1.0)
    assert 0.2 < law.residual < 0.7


@pytest.mark.parametrize("points", [[], [(10, 1.0)], [(10, 1.0), (10, 2.0)], [(10, 0.0), (20, 1.0)]])
def test_too_few_points_have_no_slope(points: list[tuple[int, float]]) -> None:
    with pytest.raises(ValueError, match=r"slope|logarithm"):
        fitted(points)


def point(curve: str, n: int, cost: float) -> Point:
    return Point(curve, n, cost, 200_000_000 + 5_000 * n, 1.0, "2026-01-02T03:04:05+00:00")


POINTS = [point("ingest", n, n / 100) for n in (1_000, 3_000, 10_000, 30_000)]


def test_the_upper_end_has_a_slope_of_its_own() -> None:
    assert [(law.start, law.stop) for law in laws(POINTS, "ingest")] == [(1_000, 30_000), (3_000, 30_000)]
    assert len(laws(POINTS[:3], "ingest")) == 1
    assert laws(POINTS[:1], "ingest") == []


def test_a_curve_that_is_too_steep_is_missed() -> None:
    even = cost_curves._figure("ingest", POINTS)
    steep = cost_curves._figure("ingest", [point("ingest", n, (n / 100) ** 1.2) for n in (1_000, 3_000, 10_000)])
    single = cost_curves._figure("ingest", POINTS[:1])
    assert even is not None
    assert steep is not None
    assert single is not None
    assert (even.met, steep.met, single.met) == (True, False, None)
    assert even.value == "1.00 over 1,000 to 30,000; 1.00 over 3,000 to 30,000"
    assert cost_curves._figure("search", POINTS) is None


def test_points_are_kept_in_files(tmp_path: Path) -> None:
    (tmp_path / "point-ingest-1000.json").write_text(
        '{"curve": "ingest", "n": 1000, "cost": 2.0, "memory": 5, "took": 3.0, "measured_at": "today"}'
    )
    assert kept_points(tmp_path) == [Point("ingest", 1000, 2.0, 5, 3.0, "today")]


def test_the_picture_is_text_and_always_the_same(tmp_path: Path) -> None:
    curves = {"ingest": POINTS, "search": [point("search", n, 2.0) for n in (1_000, 10_000)], "recluster": []}
    for name in ("one.svg", "two.svg"):
        draw(tmp_path / name, curves)
    text = (tmp_path / "one.svg").read_text()
    assert "ingest, slope 1.00" in text
    assert "search, slope 0.00" in text
    assert "recluster" not in text
    assert text == (tmp_path / "two.svg").read_text()
