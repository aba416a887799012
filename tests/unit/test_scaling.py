"""docs/scaling.md has the tables that billion.py computes, and its formulas are right where one can check them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from billion import PAGE, TABLES, plan_nodes, written_into
from scale_model import (
    Inputs,
    assignment_flops,
    footprint,
    graph_bytes,
    month_of_nodes,
    nodes,
    search_cpu_s,
    searches_s,
    seen,
    smallest_seen,
)

USUAL = Inputs()


def test_the_page_has_what_the_script_prints() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written_into(page, USUAL) == page, "python benchmarks/billion.py --write"


def test_other_inputs_give_another_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written_into(page, replace(USUAL, images=10_000_000)) != page


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_a_place_is_an_error(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8").replace(f"<!-- billion.py: {name} -->", "")
    with pytest.raises(ValueError, match=f"0 places for the table '{name}'"):
        written_into(page, USUAL)


def test_a_sample_sees_what_the_binomial_says() -> None:
    # With a sample that is small beside everything, members come as if drawn one by one.
    share = 1_000 / 1_000_000_000
    drawn_apart = 1 - sum(math.comb(50_000, j) * share**j * (1 - share) ** (50_000 - j) for j in range(2))
    assert seen(1_000_000_000, 1_000, 50_000, 2) == pytest.approx(drawn_apart, rel=1e-3)
    # 3 of 5 drawn, 2 of them members: both are in with 3/10, none with 1/10.
    assert seen(5, 3, 2, 2) == pytest.approx(0.3)
    assert seen(5, 3, 2, 1) == pytest.approx(0.9)


def test_the_smallest_cluster_seen_is_the_smallest() -> None:
    smallest = smallest_seen(1_000_000, 10_000, 20, 0.99)
    assert seen(1_000_000, 10_000, smallest, 20) >= 0.99 > seen(1_000_000, 10_000, smallest - 1, 20)


def test_bytes_of_an_image() -> None:
    assert graph_bytes(16) == pytest.approx(153.6)
    whole = footprint(USUAL, "fp32", own_words_in_memory=True)
    assert whole.vector == 2048
    assert footprint(USUAL, "binary, whole vectors on disk", own_words_in_memory=True).vector == 64
    int8 = footprint(USUAL, "int8, whole vectors on disk", own_words_in_memory=True)
    apart = footprint(USUAL, "int8, whole vectors on disk", own_words_in_memory=False)
    assert int8.memory - apart.memory == pytest.approx(1.2 * 2 * (180 + 72))
    assert int8.disk == apart.disk > whole.disk
    assert whole.memory == pytest.approx(1.2 * (2048 + 153.6 + 48 + 824))


def test_nodes_hold_all_replicas_and_three_are_the_least() -> None:
    inputs = replace(USUAL, images=1_000_000, node_gib=1.0, filled=0.5, replicas=2)
    assert nodes(inputs, 2**30 / 1_000_000) == 4
    assert nodes(inputs, 1.0) == 3
    assert nodes(replace(inputs, replicas=1), 1.0) == 1


def test_a_search_asks_every_shard() -> None:
    inputs = replace(USUAL, images=400_000, search_cpu_ms=2.0, node_cores=10, busy=0.5)
    assert search_cpu_s(inputs, 4) == pytest.approx(0.008)
    assert searches_s(inputs, 4, 3) == pytest.approx(3 * 10 * 0.5 / 0.008)


def test_assignment_compares_with_the_lists_and_with_those_in_them() -> None:
    inputs = replace(USUAL, images=1_010, sample=100 * 100, probed_lists=2, dimension=8)
    inputs = replace(inputs, images=20_000)
    assert assignment_flops(inputs) == pytest.approx(10_000 * (100 + 2 * 100) * 8 * 2)


def test_money_of_a_month() -> None:
    inputs = replace(
        USUAL, images=1_000, replicas=1, node_cores=2, node_gib=4.0, core_hour=1.0, gib_hour=0.5, disk_gb_month=0.0
    )
    assert month_of_nodes(inputs, 3, 10.0) == pytest.approx(3 * (2 + 2) * 730)


def test_the_plan_is_cheaper_with_fewer_images() -> None:
    assert plan_nodes(USUAL) > plan_nodes(replace(USUAL, images=100_000_000)) == 3
