"""Resource names and bare ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_client import names
from shoal_client.errors import InternalError

IDS = st.text(st.characters(exclude_characters="/"), min_size=1)


@given(IDS, IDS)
def test_what_goes_into_a_name_comes_out(collection: str, identity: str) -> None:
    assert names.collection_id(names.collection_name(collection)) == collection
    for kind in (names.IMAGES, names.CLUSTERS, names.RUNS):
        assert names.child_id(names.child_name(collection, kind, identity), kind) == identity


@given(st.integers(0, 2**62))
def test_cluster_ids_are_numbers(number: int) -> None:
    assert names.cluster_id(names.child_name("c", names.CLUSTERS, number)) == number


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
