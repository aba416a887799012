"""A process that stores images until the disk is full: ``stores_until_full.py FOLDER MIN_FREE_BYTES``.

The folder is on a disk of its own, of which somebody else takes nearly all once there is a collection. It prints the
number of images that were acknowledged after each write, and the reason of the error that ends it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.free_space import DiskSpace
from shoal_server.domain.errors import ShoalError
from tests.contract.conftest import a_collection, numbered_images
from tests.small_disk import SmallDisk

_AT_ONCE = 100
#: Bytes that are left for images, beside the reserve.
_ROOM = 1 << 20


async def main(folder: Path, min_free_bytes: int) -> None:
    store = await EdgeStore.open(folder, space=DiskSpace(folder.parent, min_free_bytes))
    await store.create_collection(a_collection("photos"))
    SmallDisk(folder.parent).fill(leave=min_free_bytes + _ROOM)
    images = numbered_images(30_000)
    for start in range(0, len(images), _AT_ONCE):
        try:
            await store.upsert_images("photos", images[start : start + _AT_ONCE])
        except ShoalError as error:
            print(error.reason, flush=True)
            return
        print(start + _AT_ONCE, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
