"""What Shoal makes of payloads that others wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.adapters.qdrant_store.foreign_payload import to_image
from shoal_server.domain.image import Image, Location
from shoal_server.domain.payload import to_payload
from shoal_server.rpc import convert

ATTACHED_AT = datetime(2024, 1, 1, tzinfo=UTC)


def read(payload: dict[str, Any]) -> Image:
    return to_image(uuid4(), payload, "cluster_id", ATTACHED_AT)


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_values = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
_names = st.sampled_from(
    [
        "uri", "url", "tags", "width", "height", "format", "byte_size", "orientation", "captured_at", "captured_local",
        "location", "iso", "f_number", "exposure_s", "altitude_m", "frame_count", "lens", "cluster_id", "attributes",
    ]
)  # fmt: skip


@given(st.dictionaries(_names | st.text(), _values))
def test_whatever_stands_there_an_answer_can_be_given(payload: dict[str, Any]) -> None:
    found = read(json.loads(json.dumps(payload)))
    message = convert.image("birds", found)
    assert message.sha256 == ""
    assert to_payload(found)["ingested_at"] == ATTACHED_AT.isoformat()
    assert "cluster_id" not in found.attributes


def test_fields_in_the_form_of_the_contract_are_taken() -> None:
    found = read(
        {
            "image_url": "https://example.com/1.jpg",
            "tags": ["sea", 3, "sun", "sea", ""],
            "captured_at": "2020-02-03T04:05:06Z",
            "location": {"lat": 47.25, "lon": -122.5},
            "camera_model": "EOS R5",
            "iso": 400,
            "f_number": 2,
            "width": 640,
            "cluster_id": 7,
            "species": "heron",
            "count": 3,
            "Upper": "x",
            "nested": {"a": 1},
            "nothing": None,
        }
    )
    assert found.uri == "https://example.com/1.jpg"
    assert found.tags == ("sea", "sun")
    assert found.metadata.captured_at == "2020-02-03T04:05:06+00:00"
    assert found.metadata.location == Location(47.25, -122.5)
    assert (found.metadata.camera_model, found.metadata.iso, found.metadata.width) == ("EOS R5", 400, 640)
    assert found.metadata.f_number == 2.0
    assert found.cluster_id == 7
    assert {"species": "heron", "count": 3}.items() <= found.attributes.items()
    assert not {"Upper", "nested", "nothing", "cluster_id"} & found.attributes.keys()


@pytest.mark.parametrize("value", ["7", 7.0, True, 0, -1, None, [7], 2**63])
def test_what_is_no_clusters_id_counts_as_none(value: Any) -> None:
    assert read({"cluster_id": value}).cluster_id is None


def test_what_has_another_form_is_passed_over() -> None:
    found = read(
        {"captured_at": "yesterday", "location": [47, 8], "tags": "sea", "iso": "400", "width": -3, "orientation": 9}
    )
    assert found.metadata.captured_at is None
    assert found.metadata.location is None
    assert (found.tags, found.metadata.iso, found.metadata.width, found.metadata.orientation) == ((), None, 0, None)
    assert found.attributes["tags"] == "sea"
