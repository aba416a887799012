"""A process that writes to a data folder, says what was acknowledged, and waits to be killed."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.payload import CLUSTER_ID, PLACE_ID
from shoal_server.domain.run import ClusteringRun, RunStage, RunState
from tests.contract.conftest import a_cluster, a_collection, a_correction, numbered_images, some_groupings


async def main(folder: Path, indexing_threshold_kb: int) -> None:
    store = await EdgeStore.open(folder, indexing_threshold_kb)
    record = a_collection("photos")
    await store.create_collection(record)
    images = numbered_images(700)
    await store.upsert_images("photos", images)
    await store.set_group("photos", CLUSTER_ID, 3, [image.id for image, _ in images[:50]])
    await store.set_group("photos", CLUSTER_ID, 4, [image.id for image, _ in images[50:60]])
    await store.set_group("photos", CLUSTER_ID, None, [image.id for image, _ in images[50:55]])
    await store.set_group("photos", PLACE_ID, 6, [image.id for image, _ in images[40:60]])
    await store.delete_images("photos", [image.id for image, _ in images[690:]])
    await store.put_clusters("photos", "r1", [a_cluster(3), a_cluster(4)])
    await store.put_run(
        "photos", ClusteringRun("r1", RunState.RUNNING, RunStage.WRITING, 0.5, datetime(2024, 1, 1, tzinfo=UTC))
    )
    await store.put_groupings("photos", "r1", some_groupings())
    await store.put_correction("photos", a_correction("c1"))
    await store.update_collection(replace(record, activating_run="r1", next_cluster_id=5, version=1))
    if indexing_threshold_kb == 0:
        await store.optimize("photos")
        while not (folder / "collections" / "photos" / "images.new").exists():
            await asyncio.sleep(0.001)
    print("acknowledged", flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
