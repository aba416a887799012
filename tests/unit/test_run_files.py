from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow.parquet as pq
import pytest

from shoal_server.adapters.run_files import ParquetRunFiles
from shoal_server.application.ports import RunAssignments
from shoal_server.domain.errors import FolderInUse, RunNotFound, StoreUnavailable


def assignments(n: int = 5, seed: int = 0) -> RunAssignments:
    rng = np.random.default_rng(seed)
    return RunAssignments(
        ids=[UUID(bytes=rng.bytes(16)) for _ in range(n)],
        cluster_ids=rng.integers(-1, 3, size=n),
        strengths=rng.random(n, dtype=np.float32),
        coordinates=rng.random((n, 2), dtype=np.float32),
    )


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ParquetRunFiles]:
    opened = ParquetRunFiles(tmp_path)
    yield opened
    opened.close()


def assert_same(got: RunAssignments, want: RunAssignments) -> None:
    assert got.ids == want.ids
    for name in ("cluster_ids", "strengths", "coordinates"):
        got_array, want_array = getattr(got, name), getattr(want, name)
        assert got_array.dtype == want_array.dtype
        np.testing.assert_array_equal(got_array, want_array)


@pytest.mark.parametrize("n", [0, 1, 500])
async def test_what_is_written_is_read(tmp_path: Path, n: int) -> None:
    first = ParquetRunFiles(tmp_path)
    await first.write("photos", "run-1", assignments(n))
    first.close()
    second = ParquetRunFiles(tmp_path)
    assert_same(await second.read("photos", "run-1"), assignments(n))
    second.close()


def test_one_server_a_folder(tmp_path: Path) -> None:
    first = ParquetRunFiles(tmp_path)
    with pytest.raises(FolderInUse):
        ParquetRunFiles(tmp_path)
    first.close()
    ParquetRunFiles(tmp_path).close()


async def test_any_parquet_reader_can_read_it(files: ParquetRunFiles, tmp_path: Path) -> None:
    await files.write("photos", "run-1", assignments(100))
    file = pq.ParquetFile(tmp_path / "photos/run-1.parquet")
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("image_id", "string"),
        ("cluster_id", "int64"),
        ("strength", "float"),
        ("x", "float"),
        ("y", "float"),
    ]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.read()["cluster_id"].null_count == (assignments(100).cluster_ids == -1).sum()
    file.close()


@pytest.mark.parametrize(("collection", "run"), [("photos", "run-2"), ("others", "run-1")])
async def test_a_run_without_a_file_is_not_found(files: ParquetRunFiles, collection: str, run: str) -> None:
    await files.write("photos", "run-1", assignments())
    with pytest.raises(RunNotFound):
        await files.read(collection, run)


async def test_a_second_write_replaces_the_first(files: ParquetRunFiles) -> None:
    await files.write("photos", "run-1", assignments(5))
    await files.write("photos", "run-1", assignments(7, seed=1))
    assert_same(await files.read("photos", "run-1"), assignments(7, seed=1))


async def test_a_write_that_fails_changes_nothing(files: ParquetRunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    await files.write("photos", "run-1", assignments())

    def full(fd: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StoreUnavailable, match="no space left"):
            await files.write("photos", "run-1", assignments(7, seed=1))
        with pytest.raises(StoreUnavailable, match="no space left"):
            await files.write("photos", "run-2", assignments())
    assert_same(await files.read("photos", "run-1"), assignments())
    with pytest.raises(RunNotFound):
        await files.read("photos", "run-2")


async def test_a_collection_is_deleted_alone(files: ParquetRunFiles) -> None:
    for collection in ("photos", "others"):
        await files.write(collection, "run-1", assignments())
    await files.delete_collection("photos")
    await files.delete_collection("photos")
    with pytest.raises(RunNotFound):
        await files.read("photos", "run-1")
    assert_same(await files.read("others", "run-1"), assignments())


async def test_scratch_folders_are_new_and_do_not_survive_a_restart(files: ParquetRunFiles, tmp_path: Path) -> None:
    first, second = files.scratch(), files.scratch()
    assert first != second
    assert first.is_dir()
    (first / "vectors.npy").write_bytes(b"x")
    files.close()
    ParquetRunFiles(tmp_path).close()
    assert list((tmp_path / ".scratch").iterdir()) == []
