"""What all tests share."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests.qdrant_server import QdrantServer

# How long an example takes depends on what else the machine does.
settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")

#: A file system in memory, and how much of both has to be free for it to be used.
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
_ENOUGH = 8 * 2**30


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where a Qdrant server is that the tests may use; its API key is taken from ``QDRANT_API_KEY``."""
    group = parser.getgroup("qdrant")
    group.addoption(
        "--qdrant-url",
        default=os.environ.get("QDRANT_URL"),
        help="run the contract, rpc and end-to-end suites on this Qdrant server (also QDRANT_URL)",
    )
    group.addoption(
        "--qdrant-grpc-port",
        type=int,
        default=int(os.environ.get("QDRANT_GRPC_PORT", "6334")),
        help="port of its gRPC (also QDRANT_GRPC_PORT; default 6334)",
    )
    group.addoption("--qdrant-discard", action="store_true", help="delete what that server holds already")


def pytest_configure(config: pytest.Config) -> None:
    """Servers that the tests start compute and compile once for all of them, and nothing into the user's own cache.

    Processes that share the work (pytest-xdist) have the environment of the one that starts them. What numba compiles
    stays for the next time, like everything else that pytest keeps: it takes most of a minute.
    """
    if hasattr(config, "workerinput"):
        return
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    if "TMPDIR" not in os.environ and _has_room_in_memory():
        # A store waits for its disk at every write: most of what a test of a server takes.
        patch.setenv("TMPDIR", str(_MEMORY))
        patch.setattr(tempfile, "tempdir", None)
    cache = tempfile.TemporaryDirectory(prefix="shoal-cache-")
    config.add_cleanup(cache.cleanup)
    patch.setenv("SHOAL_CACHE", cache.name)
    # There is none with `-p no:cacheprovider`.
    kept = getattr(config, "cache", None)
    compiled = Path(cache.name) / "numba" if kept is None else kept.mkdir("numba")
    compiled.mkdir(exist_ok=True)
    patch.setenv("NUMBA_CACHE_DIR", str(compiled))
    if not any(compiled.iterdir()) and _takes_folders(config):
        _compile_beside(config)


def _has_room_in_memory() -> bool:
    if not _MEMORY.is_dir():
        return False
    return min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available) >= _ENOUGH


def _compile_beside(config: pytest.Config) -> None:
    """Compiles while the first tests run, once, what otherwise several servers at a time would all compile."""
    from shoal_server.adapters.umap_hdbscan import worker
    from shoal_server.adapters.umap_hdbscan.devices import Ways

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=worker.main, args=(theirs, None, Ways()), daemon=True)
    process.start()
    theirs.close()
    # Ready, it finds that nobody has a job for it, and ends.
    ours.close()
    config.add_cleanup(process.kill)


def _takes_folders(config: pytest.Config) -> bool:
    """Whether whole folders of tests are run."""
    return any((config.invocation_params.dir / named).is_dir() for named in config.args)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Whole folders of tests run in several processes; files and tests that are named run in this one.

    There is one more than there are cores, because many tests wait for servers.

    So do all of them if they share a Qdrant server.
    """
    if config.getoption("--qdrant-url"):
        # Shoal's own collections have fixed names: one test at a time has the server.
        return 0
    cores = os.cpu_count() or 1
    return min(cores + 1, 6) if _takes_folders(config) and cores > 1 else 0


@pytest.fixture(scope="session")
def qdrant_server(pytestconfig: pytest.Config) -> QdrantServer | None:
    """The server of ``--qdrant-url``, None without one.

    Tests delete everything on it. So one that holds something already is not touched, unless ``--qdrant-discard`` says
    that it may be deleted.
    """
    url = pytestconfig.getoption("--qdrant-url")
    if not url:
        return None
    port = pytestconfig.getoption("--qdrant-grpc-port")
    server = QdrantServer(url, port, os.environ.get("QDRANT_API_KEY"))
    if (held := server.collections()) and not pytestconfig.getoption("--qdrant-discard"):
        pytest.exit(
            f"{url} holds collections ({', '.join(sorted(held)[:5])}), and the tests would delete them; give them a "
            "server of their own, or say --qdrant-discard if nobody needs what is there",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    return server


@pytest.fixture
def emptied_qdrant_server(qdrant_server: QdrantServer | None) -> Iterator[QdrantServer | None]:
    """The server of ``--qdrant-url``, with nothing on it before and after the test; None without one."""
    if qdrant_server is not None:
        qdrant_server.clean()
    yield qdrant_server
    if qdrant_server is not None:
        qdrant_server.clean()


#: Files and tests of rpc and end_to_end that say nothing about a store in a Qdrant server, and why.
EMBEDDED_ONLY = {
    "test_backup_service": "only a store in the data folder is backed up",
    "test_disk_full": "it fills the disk of the data folder, where the store must be",
    "test_a_collection_whose_activation_cannot_be_finished_does_not_stop_the_others": "it damages the data folder",
    "test_a_collection_that_cannot_be_opened_says_so_and_can_be_deleted": "it damages the data folder",
    "test_an_internal_error_is_found_by_its_id": "it breaks the store of the data folder",
    "test_what_is_the_matter_is_told_to_those_who_may_know_of_everything": "it breaks the store of the data folder",
    "test_a_server_that_stores_in_its_data_folder_attaches_to_nothing": "it is about a store in the data folder",
    "test_a_token_outlives_the_server_until_the_log_is_too_long": "a log in a Qdrant server is shortened by the minute",
}


@pytest.fixture
def stored_in_qdrant_server(
    emptied_qdrant_server: QdrantServer | None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> QdrantServer | None:
    """Shoal servers that the test starts store in the server of ``--qdrant-url``, if there is one."""
    if emptied_qdrant_server is not None:
        for name in (request.path.stem, request.function.__name__):
            if name in EMBEDDED_ONLY:
                pytest.skip(EMBEDDED_ONLY[name])
        for name, value in emptied_qdrant_server.environment().items():
            monkeypatch.setenv(name, value)
    return emptied_qdrant_server


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with photographs that are not in the repository: ``exif`` and ``caltech30``.

    It is taken from the environment variable ``SHOAL_TEST_DATA``, or else ``../shared/data`` beside the repository;
    tests that need it are skipped where there is neither.
    """
    named = os.environ.get("SHOAL_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test photographs in {folder}; set SHOAL_TEST_DATA to a folder that has them")
    return folder


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system has such a folder: making a collection is some 20 calls of fsync."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="shoal-test-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _own_journal(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test ingests is remembered for this test alone, and not in the user's own journal."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
