"""Names out of the fields that sets a cluster's images apart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from shoal_server.domain.image import Attribute, Image, Metadata, Sha256
from shoal_server.domain.naming_choice import choose_names
from shoal_server.domain.naming_fields import fitting_values


def image(attributes: Mapping[str, Attribute], tags: tuple[str, ...] = ()) -> Image:
    return Image(
        id=uuid4(),
        sha256=Sha256(""),
        uri="",
        tags=tags,
        metadata=Metadata(width=0, height=0, format="", byte_size=0),
        ingested_at=datetime(2024, 1, 1, tzinfo=UTC),
        attributes=attributes,
    )


def test_a_value_that_others_have_not_is_the_name() -> None:
    images = {
        1: [image({"species": "heron", "site": "lake", "number": n}) for n in range(10)],
        2: [image({"species": "wren", "site": "lake", "number": 10 + n}) for n in range(10)],
    }
    clusters, scores = fitting_values(images, {1: 10, 2: 10})
    assert clusters == [1, 2]
    assert scores.words == ("species: heron", "species: wren")
    assert scores.values.tolist() == [[1.0, -2.0], [-2.0, 1.0]]
    assert [names[0].name for names in choose_names(scores)] == ["species: heron", "species: wren"]


def test_a_value_of_too_few_images_is_none() -> None:
    images = {1: [image({"kind": "a" if n < 5 else str(n)}) for n in range(10)], 2: [image({"kind": "b"})]}
    clusters, scores = fitting_values(images, {1: 10, 2: 10})
    assert (clusters, scores.words) == ([2], ("kind: b",))


def test_how_frequent_a_value_is_elsewhere_goes_by_the_clusters_sizes() -> None:
    images = {1: [image({"kind": "a"})], 2: [image({"kind": "a"})], 3: [image({"kind": "b"})]}
    assert fitting_values(images, {1: 10, 2: 10, 3: 1000})[0] == [1, 2, 3]
    assert fitting_values(images, {1: 10, 2: 1000, 3: 10})[0] == [2, 3]


def test_tags_count_and_measures_and_long_texts_do_not() -> None:
    own: dict[str, Attribute] = {"weight": 1.5, "seen": True, "text": "x" * 61, "bell": "a\x07b"}
    clusters, scores = fitting_values({1: [image(own, ("pond", "reeds"))] * 3, 2: [image({})] * 3}, {1: 3, 2: 3})
    assert (clusters, scores.words) == ([1], ("tags: pond", "tags: reeds"))


def test_without_images_there_is_nothing() -> None:
    clusters, scores = fitting_values({1: []}, {1: 5})
    assert clusters == []
    assert choose_names(scores) == []


def test_a_single_cluster_is_named_by_what_its_images_share() -> None:
    clusters, scores = fitting_values({7: [image({"kind": "a"})] * 4}, {7: 4})
    assert clusters == [7]
    assert scores.values[0, 0] == pytest.approx(1.0)
