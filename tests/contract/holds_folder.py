"""A process that opens a data folder, says so, and waits to be ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from shoal_server.adapters.edge_store import EdgeStore


async def main(folder: Path) -> None:
    store = await EdgeStore.open(folder)
    try:
        print("open", flush=True)
        await asyncio.sleep(600)
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
