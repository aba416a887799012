"""A server whose files are where SHOAL_FILES_URL says, and not in its data folder."""

from __future__ import annotations

from pathlib import Path

from shoal.v1.collection_service_pb2 import CreateCollectionRequest, DeleteCollectionRequest
from tests.rpc.conftest import PARENT, serving


def files_in(folder: Path) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [str(path) for path in found if ".scratch" not in path.parts]


async def test_a_shared_folder_has_the_files_of_runs_and_images(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    async with serving(tmp_path / "data", files_url=f"file://{shared}", keep_originals=True) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await server.three_colors()
        run = await server.recluster()
        files = files_in(shared)
        assert f"runs/photos/{run.name.rpartition('/')[2]}.parquet" in files
        assert sum(name.startswith("files/photos/originals/") for name in files) == 36
        assert not (tmp_path / "data" / "runs").exists()
        assert not (tmp_path / "data" / "files").exists()
    # Started again, it finds them there.
    async with serving(tmp_path / "data", files_url=f"file://{shared}") as server:
        assert len(set((await server.assigned()).values())) == 3
        await server.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
    assert files_in(shared) == []
