"""A server whose model looks at images and reads no text: refused where a text is needed, and else as usual."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient

from shoal.v1.cluster_pb2 import RUN_STATE_SUCCEEDED
from shoal.v1.cluster_service_pb2 import (
    AssignImageRequest,
    ListClustersRequest,
    SearchClustersRequest,
)
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, GetCollectionRequest
from shoal.v1.image_pb2 import QueryTerm
from shoal.v1.image_service_pb2 import CreateImageRequest, NewImage, SearchImagesRequest
from shoal_server import bootstrap
from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.domain.collection import EmbeddingModel, Precision
from shoal_server.domain.errors import ModelBroken, ReadsNoText
from shoal_server.domain.image import Pixels
from tests.fakes import COLORS, FakeClusterer, picture
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.rpc.test_attached import DIMENSION, KEY, make_birds, qdrant
from tests.rpc.test_client_attaching import shoal

__all__ = ["qdrant"]


class Looking(DebugEngine):
    """The debug model without its words."""

    asked = 0

    @property
    def model(self) -> EmbeddingModel:
        whole = super().model
        return EmbeddingModel("looking", whole.digest, whole.dimension, Precision.BF16, reads_text=False)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        Looking.asked += 1
        raise ReadsNoText("looking")


@pytest.fixture(autouse=True)
def never_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No text ever comes as far as the model."""
    monkeypatch.setattr("shoal_server.adapters.debug_embedder.DebugEngine", Looking)
    monkeypatch.setattr(Looking, "asked", 0)
    yield
    assert Looking.asked == 0


async def filled(server: Served, *, tagged: bool = True, colors: Sequence[str] = ("red", "green", "blue")) -> None:
    await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    for color in colors:
        for number in range(12):
            new = NewImage(content=picture(color, number), tags=[f"all {color}"] if tagged else [])
            await server.images.CreateImage(CreateImageRequest(parent=PARENT, image=new))


async def names(server: Served, parent: str = PARENT) -> set[str]:
    listed = await server.clusters.ListClusters(ListClustersRequest(parent=parent))
    return {cluster.display_name for cluster in listed.clusters}


async def test_a_text_is_refused_wherever_it_is_and_an_image_finds(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await filled(server)
        made = await server.collections.GetCollection(GetCollectionRequest(name=PARENT))
        assert made.model.image_only
        assert (await server.recluster()).state == RUN_STATE_SUCCEEDED
        red = picture("red", 99)
        with_text = [QueryTerm(image_content=red), QueryTerm(text="rust", weight=-0.5)]
        wrong: list[dict[str, Any]] = [{"text": "red"}, {"terms": with_text}, {"terms": [QueryTerm(text="red")]}]
        way_out = "ask with an image, a stored image or a vector"
        for asked in wrong:
            async with refused(grpc.StatusCode.FAILED_PRECONDITION, "READS_NO_TEXT", "'looking'", way_out):
                await server.images.SearchImages(SearchImagesRequest(parent=PARENT, **asked))
            async with refused(grpc.StatusCode.FAILED_PRECONDITION, "READS_NO_TEXT", "'looking'", way_out):
                await server.clusters.SearchClusters(SearchClustersRequest(parent=PARENT, **asked))
        found = await server.images.SearchImages(SearchImagesRequest(parent=PARENT, image_content=red, page_size=12))
        assert {result.image.tags[0] for result in found.results} == {"all red"}
        best = await server.clusters.SearchClusters(SearchClustersRequest(parent=PARENT, image_content=red))
        assert best.results[0].cluster.display_name == "tags: all red"
        assigned = await server.clusters.AssignImage(AssignImageRequest(parent=PARENT, image_content=red))
        assert assigned.cluster == best.results[0].cluster.name
    async with serving(tmp_path) as again, refused(grpc.StatusCode.FAILED_PRECONDITION, "READS_NO_TEXT"):
        await again.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red"))


@pytest.mark.parametrize(
    ("tagged", "expected"),
    [
        (True, {"tags: all red", "tags: all green", "tags: all blue"}),
        (False, {"cluster 1", "cluster 2", "cluster 3"}),
    ],
)
async def test_clusters_are_named_by_what_their_images_say_or_by_their_numbers(
    tmp_path: Path, tagged: bool, expected: set[str]
) -> None:
    async with serving(tmp_path) as server:
        await filled(server, tagged=tagged)
        await server.recluster()
        assert await names(server) == expected


class Painter:
    """Captions pictures by their colour; it needs no words of the model's."""

    def caption(self, pixels: Sequence[Pixels]) -> list[str]:
        ordered = {name: np.array(color) for name, color in COLORS.items()}
        found = [min(ordered, key=lambda name: np.abs(ordered[name] - each.mean(axis=(0, 1))).sum()) for each in pixels]
        return [f"a {name} wall" for name in found]


@pytest.mark.parametrize("tagged", [True, False])
async def test_captions_name_clusters_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tagged: bool
) -> None:
    monkeypatch.setattr(bootstrap.serving, "load_captioner", lambda model: Painter())
    async with serving(tmp_path, captioner="painter") as server:
        await filled(server, tagged=tagged)
        await server.recluster()
        assert await names(server) == {"red wall", "green wall", "blue wall"}


async def test_themes_are_found_without_words(tmp_path: Path) -> None:
    async with serving(tmp_path, FakeClusterer(threshold=0.97)) as server:
        await filled(server, colors=list(COLORS))
        await server.recluster()
        clusters = await names(server)
        assert len(clusters) == len(COLORS)
        listed = await server.clusters.ListClusters(ListClustersRequest(parent=PARENT, with_themes=True))
        themes = listed.themes
        assert themes
        assert all(theme.display_name for theme in themes)


async def test_the_command_line_says_what_the_model_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        status = await shoal(server, "status")
        assert status.code == 0
        assert "looking (bf16, images only): works" in status.stdout
        [record] = (await shoal(server, "status", "--json")).records
        assert record["model"]["note"] == "bf16, images only"
        assert record["model"]["latency_ms"] is not None
        assert "looking (bf16, images only)" in (await shoal(server, "collections")).stdout
        [record] = (await shoal(server, "collections", "--json")).records
        assert (record["model"], record["precision"], record["image_only"]) == ("looking", "bf16", True)
        searched = await shoal(server, "search", "a cat", "--collection", "photos")
        assert searched.code == 1
        assert "reads no text; ask with an image" in searched.stderr


async def test_an_image_model_of_timm_serves(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "tiny.pt")
    async with serving(tmp_path / "data", model=f"timm/test_resnet/{tmp_path}/tiny.pt") as server:
        await filled(server, colors=["red"])
        model = (await server.collections.GetCollection(GetCollectionRequest(name=PARENT))).model
        assert (model.name, model.image_only) == ("timm/test_resnet/tiny.pt", True)
        same = picture("red", 3)
        found = await server.images.SearchImages(SearchImagesRequest(parent=PARENT, image_content=same, page_size=1))
        assert found.results[0].score == pytest.approx(1, abs=1e-4)
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "READS_NO_TEXT", "tiny.pt"):
            await server.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red"))


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")
async def test_an_attached_collection_is_looked_up_by_images(qdrant: AsyncQdrantClient, tmp_path: Path) -> None:
    await make_birds(qdrant, 40)
    options = ("--vector", "image", "--payload-key", KEY, "--model", "looking")
    async with serving(tmp_path, model=f"debug/{DIMENSION}", attach_interval_s=600) as server:
        done = await shoal(server, "attach", "--collection", "birds", *options)
        assert "by picture, vector and point, but not by text" in done.stdout
        assert (await server.recluster("collections/birds")).state == RUN_STATE_SUCCEEDED
        assert "species: heron" in await names(server, "collections/birds")
        await server.clusters.SearchClusters(
            SearchClustersRequest(parent="collections/birds", image_content=picture("red", 1))
        )
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "READS_NO_TEXT"):
            await server.clusters.SearchClusters(SearchClustersRequest(parent="collections/birds", text="a heron"))


async def test_a_broken_model_is_tried_again_with_an_image_alone() -> None:
    class Broken(Looking):
        broken = True

        def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
            if self.broken:
                raise RuntimeError("no kernel image is available")
            return super().embed_images(inputs)

    engine = Broken()
    gray = np.full((8, 8, 3), 128, np.uint8)
    async with BatchingEmbedder(engine, retry_s=0.05) as embedder:
        with pytest.raises(ModelBroken, match="looking"):
            await embedder.embed_image(gray)
        assert embedder.problem
        engine.broken = False
        while embedder.problem:
            await asyncio.sleep(0.01)
        assert (await embedder.embed_image(gray)).shape == (32,)
        with pytest.raises(ReadsNoText):
            await embedder.embed_text("red")
        with pytest.raises(ReadsNoText):
            await embedder.embed_texts([])
