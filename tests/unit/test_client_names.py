"""Resource names and bare ids."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_client import names
from shoal_client.errors import InternalError, InvalidArgument

IDS = st.text(st.characters(exclude_characters="/"), min_size=1)


COLLECTIONS = st.from_regex("[a-z][a-z0-9_-]{0,62}", fullmatch=True)


@given(COLLECTIONS, IDS)
def test_what_goes_into_a_name_comes_out(collection: str, identity: str) -> None:
    assert names.collection_id(names.collection_name(collection)) == collection
    for kind in (names.IMAGES, names.CLUSTERS, names.RUNS, names.CORRECTIONS):
        assert names.child_id(names.child_name(collection, kind, identity), kind) == identity


@given(st.integers(0, 2**62))
def test_cluster_ids_are_numbers(number: int) -> None:
    assert names.cluster_id(names.child_name("c", names.CLUSTERS, number)) == number


@given(COLLECTIONS, st.integers(0, 2**62), st.sampled_from([names.CLUSTERS, names.THEMES, names.PLACES, names.MOMENTS]))
def test_numbered_names(collection: str, number: int, kind: str) -> None:
    assert names.number(names.numbered_name(collection, kind, number), kind) == number
    with pytest.raises(InvalidArgument, match=r"^-\d+ is not a \w+ id \(a number as `shoal \w+` prints it\)$"):
        names.numbered_name(collection, kind, -1 - number)


@pytest.mark.parametrize(("kind", "command"), [(names.RUNS, "shoal runs"), (names.CORRECTIONS, "shoal corrections")])
def test_ids_of_runs_and_corrections(kind: str, command: str) -> None:
    assert names.child_id(names.text_name("c", kind, "x1"), kind) == "x1"
    for wrong in ("", "a/b"):
        with pytest.raises(InvalidArgument, match=f"as `{command}` prints it"):
            names.text_name("c", kind, wrong)


@given(COLLECTIONS, st.uuids())
def test_image_ids_are_uuids(collection: str, image: UUID) -> None:
    assert names.child_id(names.image_name(collection, str(image)), names.IMAGES) == str(image)


@pytest.mark.parametrize("collection", ["", "Photos", "1a", "a" * 64, "a/b", "ä", "a\n", "\udcff"])
def test_what_is_no_collections_name_is_refused(collection: str) -> None:
    with pytest.raises(InvalidArgument, match="1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter"):
        names.collection_name(collection)


@pytest.mark.parametrize(
    "name", ["", "collections", "collections/", "collections/c/images/", "collections//images/1", "a/b/images/c", "x/y"]
)
def test_other_names_are_the_servers_fault(name: str) -> None:
    with pytest.raises(InternalError):
        names.child_id(name, names.IMAGES)
    with pytest.raises(InternalError):
        names.collection_id(name)


def test_a_cluster_whose_id_is_no_number_is_the_servers_fault() -> None:
    with pytest.raises(InternalError):
        names.cluster_id("collections/c/clusters/x")
