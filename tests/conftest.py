"""What all tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


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


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers that the tests start compile once for all of them, and nothing into the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
