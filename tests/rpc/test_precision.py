"""Collections whose vectors were computed with other numbers than the server's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from shoal.v1 import collection_pb2
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, GetCollectionRequest
from shoal.v1.image_service_pb2 import ListImagesRequest, SearchImagesRequest
from shoal_server import bootstrap
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.domain.collection import EmbeddingModel, Precision
from tests.fakes import picture
from tests.rpc.conftest import PARENT, refused, serving


class RoundedEngine(DebugEngine):
    """Says that it computes in int8."""

    @property
    def model(self) -> EmbeddingModel:
        return replace(super().model, precision=Precision.INT8)


async def test_a_collection_of_another_precision_is_used_only_if_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as exact:
        await exact.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        (stored,) = await exact.store("red", [1])
        assert stored.name
    monkeypatch.setattr(bootstrap.serving, "load_engine", lambda *_: RoundedEngine())
    async with serving(tmp_path) as rounded:
        ways_out = ("photos", "fp32", "int8", "SHOAL_PRECISION=fp32", "SHOAL_MIX_PRECISIONS=true")
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "PRECISION_MISMATCH", *ways_out):
            await rounded.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red"))
    async with serving(tmp_path, mix_precisions=True) as mixing:
        (response,) = await mixing.ingest([picture("red", 2)])
        assert response.image.name
        listed = await mixing.images.ListImages(ListImagesRequest(parent=PARENT))
        assert len(listed.images) == 2
        # What it was made with stays on record.
        recorded = await mixing.collections.GetCollection(GetCollectionRequest(name=PARENT))
        assert recorded.model.precision == collection_pb2.PRECISION_FP32
        await mixing.collections.CreateCollection(CreateCollectionRequest(collection_id="others"))
        made = await mixing.collections.GetCollection(GetCollectionRequest(name="collections/others"))
        assert made.model.precision == collection_pb2.PRECISION_INT8
