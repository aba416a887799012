"""The format of a data folder: what older versions wrote is brought up to date, what newer ones wrote is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from shoal_server.adapters.edge_store import EdgeStore, folder_format
from shoal_server.adapters.edge_store.folder_format import FORMAT, STEPS, bring_up_to_date
from shoal_server.adapters.files import Folder, ParquetRunFiles
from shoal_server.adapters.qdrant_store import QdrantStore, records_format
from shoal_server.adapters.qdrant_store.catalog import Catalog
from shoal_server.domain.cluster import NameSource
from shoal_server.domain.correction import CorrectionKind
from shoal_server.domain.errors import StoreIncompatible
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.payload import INDEXED
from shoal_server.domain.run import RunState
from tests.fixtures.data_folders import FOLDER, unpacked


def test_there_is_a_folder_of_every_format_that_can_be_opened() -> None:
    there = {path.name for path in FOLDER.glob("data-folder-*.tar.xz")}
    assert there == {f"data-folder-{version}.tar.xz" for version in {*STEPS, FORMAT}}


@pytest.mark.parametrize("version", sorted({*STEPS, FORMAT}))
async def test_what_an_older_version_wrote_is_opened(tmp_path: Path, version: int) -> None:
    folder = unpacked(version, tmp_path)
    assert folder_format.read_format(folder) == version
    for _ in range(2):
        store = await EdgeStore.open(folder)
        [record] = await store.list_collections()
        assert (record.id, record.activating_run) == ("photos", None)
        assert await store.count_images("photos", ImageFilter()) == 36
        counts = await store.count_by_cluster("photos")
        runs = await store.list_runs("photos")
        assert {run.state for run in runs} == {RunState.SUCCEEDED}
        assert runs[0].id == record.active_run
        clusters = {cluster.id: cluster for cluster in await store.get_clusters("photos", runs[0].id)}
        assert counts == {identity: cluster.size for identity, cluster in clusters.items()} == {1: 24, 3: 12}
        assert (clusters[3].name, clusters[3].name_source) == ("the third", NameSource.PERSON)
        corrections = await store.list_corrections("photos")
        assert [each.kind for each in corrections] == [CorrectionKind.MERGE, CorrectionKind.RENAME]
        assert store._rooms["photos"].images.info().payload_schema.keys() == INDEXED.keys()
        await store.close()
        assert folder_format.read_format(folder) == FORMAT
    place = Folder(folder / "runs" / "embedded")
    files = ParquetRunFiles(place, place)
    for run in runs:
        assert len((await files.read("photos", run.id)).ids) == 36
    assert len((await files.read_moves("photos", corrections[0].id)).ids) == 12
    files.close()


def test_steps_are_done_in_order_and_the_version_is_written_after_each(tmp_path: Path) -> None:
    (tmp_path / "format.json").write_text('{"format": 3}')
    done: list[int] = []

    def step(folder: Path) -> None:
        done.append(folder_format.read_format(folder))
        if done == [3, 4]:
            raise OSError("cut short")

    steps = dict.fromkeys((2, 3, 4, 5), step)
    with pytest.raises(OSError, match="cut short"):
        bring_up_to_date(tmp_path, tmp_path / "collections", steps, 6)
    assert folder_format.read_format(tmp_path) == 4
    bring_up_to_date(tmp_path, tmp_path / "collections", steps, 6)
    bring_up_to_date(tmp_path, tmp_path / "collections", steps, 6)
    assert done == [3, 4, 4, 5]
    assert json.loads((tmp_path / "format.json").read_text()) == {"format": 6}


def test_what_cannot_be_brought_up_to_date_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "format.json"
    for content, problem in (
        ('{"format": 7}', r"has format 7, but this version of Shoal reads formats up to 6; start it with"),
        ('{"format": 1}', r"has format 1, which this version of Shoal no longer brings up to date; open it once"),
        ('{"format": ', r"format\.json cannot be read"),
        ("{}", r"format\.json cannot be read"),
    ):
        path.write_text(content)
        with pytest.raises(StoreIncompatible, match=problem):
            bring_up_to_date(tmp_path, tmp_path / "collections", {5: lambda _: None}, 6)
        assert path.read_text() == content
    path.unlink()
    bring_up_to_date(tmp_path, tmp_path / "collections", {}, 6)
    assert folder_format.read_format(tmp_path) == 6
    path.unlink()
    (tmp_path / "collections").mkdir()
    with pytest.raises(StoreIncompatible, match="did not make it"):
        bring_up_to_date(tmp_path, tmp_path / "collections", {}, 6)


async def test_records_in_a_qdrant_server_have_a_format_too() -> None:
    store = QdrantStore(AsyncQdrantClient(":memory:"), "a server")
    catalog = store._catalog
    done: list[int] = []

    async def step(present: Catalog) -> None:
        assert present is catalog
        done.append(len(done))
        if len(done) == 2:
            raise OSError("cut short")

    # What was written before there was a version is of the first.
    await records_format.bring_up_to_date(catalog, "a server")
    await records_format.bring_up_to_date(catalog, "a server")
    steps = dict.fromkeys((1, 2), step)
    with pytest.raises(OSError, match="cut short"):
        await records_format.bring_up_to_date(catalog, "a server", steps, 3)
    with pytest.raises(StoreIncompatible, match="in a server has format 2, but this version of Shoal reads formats"):
        await records_format.bring_up_to_date(catalog, "a server", {}, 1)
    await records_format.bring_up_to_date(catalog, "a server", steps, 3)
    await records_format.bring_up_to_date(catalog, "a server", steps, 3)
    assert done == [0, 1, 2]
    with pytest.raises(StoreIncompatible, match="format 3, which this version of Shoal no longer"):
        await records_format.bring_up_to_date(catalog, "a server", {}, 4)
    await store.close()
