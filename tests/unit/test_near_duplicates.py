"""Looking for near-duplicates of new images: how much is asked of the store at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import numpy as np

from shoal_server.application import near_duplicates
from shoal_server.application.near_duplicates import NearDuplicates
from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import ImageStore
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.image import Image, Metadata, ScoredImage, Sha256, Vector
from shoal_server.domain.phash import as_text

UNIT = np.array([1, 0], np.float32)


def picture(number: int) -> Image:
    bits = np.random.default_rng(number).permutation(64)[:32]
    return Image(
        id=UUID(int=number),
        sha256=Sha256(f"{number:064x}"),
        uri="",
        tags=(),
        metadata=Metadata(width=300, height=200, format="JPEG", byte_size=1000),
        ingested_at=datetime(2024, 1, 1, tzinfo=UTC),
        phash=as_text(sum(1 << int(bit) for bit in bits)),
    )


class SlowStore:
    """An empty store that takes its time; remembers how many questions it had at once."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = 0
        self.most = 0

    async def page_images(self, *args: object) -> tuple[list[Image], None]:
        return [], None

    async def get_vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Vector]:
        return {}

    async def query_images(self, *args: object, **options: Any) -> list[ScoredImage]:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(3):
            await asyncio.sleep(0)
        self.now -= 1
        return []


async def test_a_few_questions_at_once_from_all_that_store_images() -> None:
    store = SlowStore()
    finding = NearDuplicates(cast("ImageStore", store))
    model = EmbeddingModel("debug", "sha256:0", 2)
    opened = OpenCollection(Collection(id="a", model=model, created_at=datetime.now(UTC)), None)
    groups = [[(picture(number), UNIT) for number in range(start, start + 64)] for start in (0, 64)]
    found = await asyncio.gather(*(finding.find(opened, group) for group in groups))
    assert found == [[None] * 64] * 2
    assert store.asked == 128
    assert 1 < store.most <= near_duplicates._QUERIES
