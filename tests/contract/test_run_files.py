from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal_server.adapters.files import Folder, ParquetRunFiles
from shoal_server.application.ports import RunAssignments
from shoal_server.domain.correction import Moves
from shoal_server.domain.errors import CorrectionNotFound, FolderInUse, RunNotFound, StoreIncompatible, StoreUnavailable
from tests.contract.places import KINDS, Spot, spot_of


def assignments(n: int = 5, seed: int = 0, r: int = 3) -> RunAssignments:
    """Every third image came after the run: it has no coordinates and no fingerprint."""
    rng = np.random.default_rng(seed)
    coordinates = rng.random((n, 2), dtype=np.float32)
    reduced = rng.random((n, r), dtype=np.float32)
    coordinates[::3] = np.nan
    reduced[::3] = np.nan
    fingerprints = rng.standard_normal(n, dtype=np.float32)
    fingerprints[::3] = np.nan
    return RunAssignments(
        ids=[UUID(bytes=rng.bytes(16)) for _ in range(n)],
        cluster_ids=rng.integers(-1, 3, size=n),
        strengths=rng.random(n, dtype=np.float32),
        coordinates=coordinates,
        reduced=reduced,
        fingerprints=fingerprints,
        placed=rng.random(n) < 0.5,
        last_ids=rng.integers(-1, 3, size=n),
        dissolved_ids=rng.integers(-1, 3, size=n),
        place_ids=rng.integers(-1, 3, size=n),
        moment_ids=rng.integers(-1, 3, size=n),
        gone=seed + 2,
    )


def some_moves(n: int = 5, seed: int = 0) -> Moves:
    rng = np.random.default_rng(seed)
    return Moves(
        ids=[UUID(bytes=rng.bytes(16)) for _ in range(n)],
        before=rng.integers(-1, 3, size=n),
        after=rng.integers(-1, 3, size=n),
    )


@pytest.fixture(params=KINDS)
def spot(request: pytest.FixtureRequest, tmp_path: Path) -> Spot:
    return spot_of(request.param, tmp_path / "runs", request)


def opened(spot: Spot, scratch: Path) -> ParquetRunFiles:
    place = spot.open()
    return ParquetRunFiles(place, place if spot.kind == "folder" and isinstance(place, Folder) else Folder(scratch))


@pytest.fixture
def files(spot: Spot, tmp_path: Path) -> Iterator[ParquetRunFiles]:
    """In every kind of place."""
    files = opened(spot, tmp_path / "scratch")
    yield files
    files.close()


def in_folder(folder: Path) -> ParquetRunFiles:
    place = Folder(folder)
    return ParquetRunFiles(place, place)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[ParquetRunFiles]:
    """In a folder of the server's own."""
    files = in_folder(tmp_path)
    yield files
    files.close()


def assert_same(got: RunAssignments, want: RunAssignments) -> None:
    assert (got.ids, got.gone) == (want.ids, want.gone)
    for each in fields(RunAssignments):
        if each.name in ("ids", "gone"):
            continue
        got_array, want_array = getattr(got, each.name), getattr(want, each.name)
        assert got_array.dtype == want_array.dtype, each.name
        np.testing.assert_array_equal(got_array, want_array, each.name)


@pytest.mark.parametrize("r", [0, 1, 5])
@pytest.mark.parametrize("n", [0, 1, 500])
async def test_what_is_written_is_read(spot: Spot, tmp_path: Path, n: int, r: int) -> None:
    first = opened(spot, tmp_path / "scratch")
    await first.write("photos", "run-1", assignments(n, r=r))
    first.close()
    second = opened(spot, tmp_path / "scratch")
    assert_same(await second.read("photos", "run-1"), assignments(n, r=r))
    second.close()


async def test_where_no_image_has_reduced_coordinates_their_number_is_kept(files: ParquetRunFiles) -> None:
    reduced = np.full((4, 5), np.nan, dtype=np.float32)
    want = replace(assignments(4), reduced=reduced)
    await files.write("photos", "run-1", want)
    assert_same(await files.read("photos", "run-1"), want)


async def test_what_was_read_can_be_changed_and_written_again(files: ParquetRunFiles) -> None:
    await files.write("photos", "run-1", assignments(50))
    changed = await files.read("photos", "run-1")
    for name in ("cluster_ids", "strengths", "coordinates", "reduced", "last_ids", "dissolved_ids", "place_ids"):
        getattr(changed, name)[7] = 1
    changed.placed[7] = not changed.placed[7]
    await files.write("photos", "run-1", changed)
    assert_same(await files.read("photos", "run-1"), changed)


async def test_a_file_of_the_first_version_is_read(files: ParquetRunFiles, spot: Spot) -> None:
    none = np.full(20, -1)
    want = replace(
        assignments(20),
        coordinates=np.random.default_rng(1).random((20, 2), dtype=np.float32),
        reduced=np.empty((20, 0), dtype=np.float32),
        fingerprints=np.full(20, np.nan, dtype=np.float32),
        placed=np.zeros(20, dtype=np.bool_),
        last_ids=assignments(20).cluster_ids,
        dissolved_ids=none,
        place_ids=none,
        moment_ids=none,
        gone=0,
    )
    schema = pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("cluster_id", pa.int64()),
            pa.field("strength", pa.float32(), nullable=False),
            pa.field("x", pa.float32(), nullable=False),
            pa.field("y", pa.float32(), nullable=False),
        ]
    )
    columns = {
        "image_id": [str(each) for each in want.ids],
        "cluster_id": pa.array(want.cluster_ids, mask=want.cluster_ids == -1),
        "strength": want.strengths,
        "x": want.coordinates[:, 0],
        "y": want.coordinates[:, 1],
    }
    content = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), content, compression="zstd")
    spot.put("photos/run-1.parquet", content.getvalue().to_pybytes())
    got = await files.read("photos", "run-1")
    assert_same(got, want)
    # Its rows are not the clusters' own: a change of one leaves the other.
    got.last_ids[0] = 99
    assert got.cluster_ids[0] != 99


async def test_a_file_from_before_fingerprints_is_read(files: ParquetRunFiles, spot: Spot) -> None:
    await files.write("photos", "run-1", assignments(20))
    table = pq.read_table(io.BytesIO(spot.content("photos/run-1.parquet")))
    content = pa.BufferOutputStream()
    pq.write_table(table.drop_columns(["fingerprint"]), content)
    spot.put("photos/run-1.parquet", content.getvalue().to_pybytes())
    want = replace(assignments(20), fingerprints=np.full(20, np.nan, dtype=np.float32))
    assert_same(await files.read("photos", "run-1"), want)


def test_one_server_a_folder(tmp_path: Path) -> None:
    first = in_folder(tmp_path)
    with pytest.raises(FolderInUse):
        Folder(tmp_path)
    first.close()
    in_folder(tmp_path).close()


async def test_any_parquet_reader_can_read_it(files: ParquetRunFiles, spot: Spot) -> None:
    await files.write("photos", "run-1", assignments(100))
    file = pq.ParquetFile(io.BytesIO(spot.content("photos/run-1.parquet")))
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("image_id", "string"),
        ("cluster_id", "int64"),
        ("strength", "float"),
        ("x", "float"),
        ("y", "float"),
        ("reduced", "list<element: float>"),
        ("placed", "bool"),
        ("last_id", "int64"),
        ("dissolved_id", "int64"),
        ("place_id", "int64"),
        ("moment_id", "int64"),
        ("fingerprint", "float"),
    ]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    table = file.read()
    for column, name in (("cluster_id", "cluster_ids"), ("last_id", "last_ids"), ("moment_id", "moment_ids")):
        assert table[column].null_count == (getattr(assignments(100), name) == -1).sum()
    for column in ("x", "y", "reduced", "fingerprint"):
        assert table[column].null_count == 34
    assert table["reduced"][0].as_py() is None
    assert table["reduced"][1].as_py() == assignments(100).reduced[1].tolist()
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


async def test_a_file_is_written_twice_at_the_same_time(files: ParquetRunFiles) -> None:
    async with asyncio.TaskGroup() as tasks:
        for seed in range(6):
            tasks.create_task(files.write("photos", "run-1", assignments(300, seed)))
    got = await files.read("photos", "run-1")
    [seed] = [seed for seed in range(6) if assignments(300, seed).ids == got.ids]
    assert_same(got, assignments(300, seed))


async def test_a_write_that_fails_changes_nothing(
    local: ParquetRunFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.write("photos", "run-1", assignments())

    def full(fd: int) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StoreUnavailable, match="no space left"):
            await local.write("photos", "run-1", assignments(7, seed=1))
        with pytest.raises(StoreUnavailable, match="no space left"):
            await local.write("photos", "run-2", assignments())
        with pytest.raises(StoreUnavailable, match="no space left"):
            await local.write_moves("photos", "c-1", some_moves())
    assert list((tmp_path / ".scratch").iterdir()) == []
    assert_same(await local.read("photos", "run-1"), assignments())
    with pytest.raises(RunNotFound):
        await local.read("photos", "run-2")
    with pytest.raises(CorrectionNotFound):
        await local.read_moves("photos", "c-1")


def zeros_in_the_middle(content: bytes) -> bytes:
    return content[:50] + bytes(200) + content[250:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"garbage" * 50,
        lambda content: b"",
        lambda content: content[:-20],
        zeros_in_the_middle,
    ],
    ids=["garbage", "empty", "cut off", "zeros in the middle"],
)
async def test_a_damaged_file_is_named(files: ParquetRunFiles, spot: Spot, damage: Callable[[bytes], bytes]) -> None:
    await files.write("photos", "run-1", assignments(500))
    await files.write_moves("photos", "c-1", some_moves(500))
    for name in spot.names():
        spot.put(name, damage(spot.content(name)))
    with pytest.raises(StoreIncompatible, match=r"run-1\.parquet is damaged.*backup"):
        await files.read("photos", "run-1")
    with pytest.raises(StoreIncompatible, match=r"c-1\.moves\.parquet is damaged.*backup"):
        await files.read_moves("photos", "c-1")


async def test_a_file_with_other_columns_is_named(files: ParquetRunFiles, spot: Spot) -> None:
    await files.write_moves("photos", "c-1", some_moves())
    spot.put("photos/run-1.parquet", spot.content("photos/c-1.moves.parquet"))
    with pytest.raises(StoreIncompatible, match=r"run-1\.parquet is damaged"):
        await files.read("photos", "run-1")


async def test_a_disk_that_fails_is_no_damage(local: ParquetRunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    await local.write("photos", "run-1", assignments())

    def fail(path: Path) -> bytes:
        raise OSError("input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fail)
        with pytest.raises(StoreUnavailable, match="input/output error"):
            await local.read("photos", "run-1")
    assert_same(await local.read("photos", "run-1"), assignments())


async def test_a_deleted_run_is_gone_alone(files: ParquetRunFiles) -> None:
    for run in ("run-1", "run-2"):
        await files.write("photos", run, assignments())
    await files.write_moves("photos", "run-1", some_moves())
    await files.delete("photos", "run-1")
    await files.delete("photos", "run-1")
    await files.delete("others", "run-2")
    with pytest.raises(RunNotFound):
        await files.read("photos", "run-1")
    assert_same(await files.read("photos", "run-2"), assignments())
    assert (await files.read_moves("photos", "run-1")).ids == some_moves().ids


@pytest.mark.parametrize("n", [0, 1, 500])
async def test_moves_are_read_as_they_were_written(files: ParquetRunFiles, spot: Spot, n: int) -> None:
    await files.write_moves("photos", "c-1", some_moves(3, seed=1))
    await files.write_moves("photos", "c-1", some_moves(n))
    got, want = await files.read_moves("photos", "c-1"), some_moves(n)
    assert got.ids == want.ids
    for name in ("before", "after"):
        assert getattr(got, name).dtype == np.int64
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    table = pq.read_table(io.BytesIO(spot.content("photos/c-1.moves.parquet")))
    assert [(each.name, str(each.type)) for each in table.schema] == [
        ("image_id", "string"),
        ("before", "int64"),
        ("after", "int64"),
    ]
    assert table["before"].null_count == (want.before == -1).sum()


@pytest.mark.parametrize(("collection", "correction"), [("photos", "c-2"), ("others", "c-1")])
async def test_a_correction_without_moves_is_not_found(
    files: ParquetRunFiles, collection: str, correction: str
) -> None:
    await files.write_moves("photos", "c-1", some_moves())
    with pytest.raises(CorrectionNotFound):
        await files.read_moves(collection, correction)


async def test_a_collection_is_deleted_alone(files: ParquetRunFiles) -> None:
    for collection in ("photos", "others"):
        await files.write(collection, "run-1", assignments())
        await files.write_moves(collection, "c-1", some_moves())
    await files.delete_collection("photos")
    await files.delete_collection("photos")
    with pytest.raises(RunNotFound):
        await files.read("photos", "run-1")
    with pytest.raises(CorrectionNotFound):
        await files.read_moves("photos", "c-1")
    assert_same(await files.read("others", "run-1"), assignments())
    assert (await files.read_moves("others", "c-1")).ids == some_moves().ids


async def test_scratch_folders_are_new_and_do_not_survive_a_restart(
    files: ParquetRunFiles, spot: Spot, tmp_path: Path
) -> None:
    first, second = files.scratch(), files.scratch()
    assert first != second
    assert first.is_dir()
    assert first.is_relative_to(tmp_path), "on this machine, wherever the files are"
    (first / "vectors.npy").write_bytes(b"x")
    files.close()
    opened(spot, tmp_path / "scratch").close()
    assert list(first.parent.iterdir()) == []
    assert spot.names() == []
