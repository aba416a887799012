"""What all tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")


def pytest_configure(config: pytest.Config) -> None:
    """Servers that the tests start compute and compile once for all of them, and nothing into the user's own cache.

    Processes that share the work (pytest-xdist) have the environment of the one that starts them. What numba compiles
    stays for the next time, like everything else that pytest keeps: it takes most of a minute.
    """
    if hasattr(config, "workerinput"):
        return
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    cache = tempfile.TemporaryDirectory(prefix="shoal-cache-")
    config.add_cleanup(cache.cleanup)
    patch.setenv("SHOAL_CACHE", cache.name)
    compiled = config.cache.mkdir("numba") if config.cache is not None else Path(cache.name) / "numba"
    patch.setenv("NUMBA_CACHE_DIR", str(compiled))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Whole folders of tests run on several cores, at most 4; files and tests that are named run in this process."""
    cores = os.cpu_count() or 1
    folders = any((config.invocation_params.dir / named).is_dir() for named in config.args)
    return min(cores, 4) if folders and cores > 1 else 0


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
