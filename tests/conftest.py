"""What all tests share."""

from __future__ import annotations

import os
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
