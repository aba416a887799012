"""Tables of a selection: what the run in force and the images themselves say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest

from shoal_server.application import exporting
from shoal_server.application.ancestry import Ancestry
from shoal_server.application.curation import ClusterOrder
from shoal_server.application.exporting import Exporting
from shoal_server.application.images import Images, Position
from shoal_server.application.open_collections import ClusterSet, OpenCollection, OpenCollections
from shoal_server.application.ports import RunAssignments, RunFiles, Store
from shoal_server.application.present import no_assignments
from shoal_server.application.queries import Where
from shoal_server.domain.cluster import Cluster, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import ClusterNotFound, ClustersChanged, InvalidField
from shoal_server.domain.image import Image, Metadata, Sha256
from shoal_server.domain.lineage import Lineage, LineageKind, Share
from shoal_server.domain.run import ClusteringRun, RunStage, RunState

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def image(number: int, cluster_id: int | None) -> Image:
    """An image in a cluster."""
    metadata = Metadata(width=1, height=1, format="PNG", byte_size=1)
    return Image(UUID(int=number), Sha256("0" * 64), "", (), metadata, NOW, cluster_id)


class There:
    """Five images: in the run as they are, moved since, come since, in no cluster, and in one that is not in force."""

    images = (image(1, 7), image(2, 7), image(3, 7), image(4, None), image(5, 99))

    def __init__(self) -> None:
        self.cats = Cluster(7, "cats", NameSource.PERSON, (), 3, np.array([1, 0], np.float32), 1.0, 0.5, (), NOW)
        record = Collection("photos", EmbeddingModel("debug", "sha256:0", 2), NOW, active_run="run")
        self.opened = OpenCollection(record, ClusterSet("run", [self.cats]))

    async def open(self, collection: str) -> OpenCollection:
        return self.opened

    async def read(self, collection: str, run: str) -> RunAssignments:
        return replace(
            no_assignments(),
            ids=[UUID(int=number) for number in (1, 2, 4)],
            cluster_ids=np.array([7, 3, -1], np.int64),
            strengths=np.array([0.5, 0.75, 0], np.float32),
            coordinates=np.array([[1, 2], [3, 4], [np.nan, np.nan]], np.float32),
        )

    async def page(
        self, collection: str, where: Where, after: Position | None, limit: int
    ) -> tuple[list[Image], Position | None]:
        start = 0 if after is None or after.after is None else after.after.int
        rest = self.images[start:]
        return list(rest[:2]), Position(after=rest[1].id) if len(rest) > 2 else None

    async def some(self, collection: str, images: Sequence[UUID]) -> list[Image]:
        there = {each.id: each for each in self.images}
        return [there[each] for each in images if each in there]

    async def list_runs(self, collection: str) -> list[ClusteringRun]:
        lineage = (Lineage(7, LineageKind.CONTINUED, (Share(7, 3, 1.0, 0.5),)), Lineage(8, LineageKind.BORN, ()))
        run = ClusteringRun("b", RunState.SUCCEEDED, RunStage.WRITING, 1.0, NOW, lineage=lineage, activated_at=NOW)
        held = replace(run, id="c", state=RunState.HELD_BACK, activated_at=None)
        return [held, run, replace(run, id="a", lineage=())]


def export(of: There | None = None) -> Exporting:
    """Exports the five."""
    there: Any = of or There()
    return Exporting(cast("OpenCollections", there), cast("RunFiles", there), cast("Images", there))


async def test_what_is_told_of_each() -> None:
    told = [each for stretch in [part async for part in export().where("photos", Where())] for each in stretch]
    assert [each.image.id.int for each in told] == [1, 2, 3, 4, 5]
    assert [(each.cluster_id, each.cluster_name) for each in told] == [(7, "cats")] * 3 + [(-1, "")] * 2
    assert [each.strength for each in told] == [0.5, 0.0, 0.0, 0.0, 0.0]
    assert [each.coordinates for each in told] == [(1.0, 2.0), (3.0, 4.0), None, None, None]


async def test_named_images_come_once_and_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [UUID(int=number) for number in (4, 1, 4, 77)]
    told = [each async for stretch in _flat(export().named("photos", ids)) for each in stretch]
    assert [each.image.id.int for each in told] == [1, 4]
    monkeypatch.setattr(exporting, "MAX_NAMED", 3)
    with pytest.raises(InvalidField, match="filter"):
        await anext(export().named("photos", ids))


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_table_is_of_one_run(monkeypatch: pytest.MonkeyPatch, by_name: bool) -> None:
    monkeypatch.setattr(exporting, "EXPORT_BATCH", 2)
    there = There()
    ids = [each.id for each in there.images]
    stretches = export(there).named("photos", ids) if by_name else export(there).where("photos", Where())
    assert len(await anext(stretches)) == 2
    there.opened.clusters = ClusterSet("run", [replace(there.cats, name="felines")])
    assert len(await anext(stretches)) == 2
    there.opened.clusters = ClusterSet("another run", [there.cats])
    with pytest.raises(ClustersChanged, match="export them again"):
        await anext(stretches)


async def _flat(stretches: Any) -> Any:
    async for stretch in stretches:
        yield stretch


async def test_the_story_of_a_cluster() -> None:
    there: Any = There()
    ancestry = Ancestry(cast("OpenCollections", there), cast("Store", there))
    [step] = await ancestry("photos", 7)
    assert (step.run, step.kind, step.shares[0].images, step.names) == ("b", LineageKind.CONTINUED, 3, {7: "cats"})
    assert [each.kind for each in await ancestry("photos", 8)] == [LineageKind.BORN]
    with pytest.raises(ClusterNotFound):
        await ancestry("photos", 1000)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", None),
        ("size", ClusterOrder("size", descending=True)),
        ("size asc", ClusterOrder("size", descending=False)),
        ("display_name", ClusterOrder("display_name", descending=False)),
        ("create_time desc", ClusterOrder("create_time", descending=True)),
    ],
)
def test_orders(text: str, order: ClusterOrder | None) -> None:
    assert ClusterOrder.of(text) == order


@pytest.mark.parametrize("text", ["age", "size up", "size  asc", "__class__"])
def test_no_orders(text: str) -> None:
    with pytest.raises(InvalidField, match="cohesion"):
        ClusterOrder.of(text)
