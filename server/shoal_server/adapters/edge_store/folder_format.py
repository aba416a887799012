"""The version of a data folder's layout, and the steps from one version to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from shoal_server.adapters.edge_store.files import read_record, write_record
from shoal_server.domain.errors import StoreIncompatible

_log = logging.getLogger(__name__)

#: Changes a folder of one version, so that it is one of the next. Blocks; whatever a crash left of it, it can be done
#: again from its beginning.
Step = Callable[[Path], None]

#: What this version writes. A change of the layout that an older version would take for something else raises it, and
#: adds the step that brings older folders there. New fields of records do neither: older versions pass them over.
FORMAT = 1

#: From a version to the one after it.
STEPS: Mapping[int, Step] = {}

FILE = "format.json"


def read_format(folder: Path) -> int:
    """The version of a folder's layout.

    Raises:
        FileNotFoundError: the folder says nothing of it.
        StoreIncompatible: the file is damaged.
    """
    return read_record(folder / FILE, lambda record: int(record["format"]), "restore the file from a backup")


def check_readable(folder: Path, newest: int = FORMAT) -> int:
    """The version of a folder's layout, which is not changed.

    Args:
        folder: a data folder.
        newest: what can be read.

    Raises:
        FileNotFoundError: the folder says nothing of it.
        StoreIncompatible: a newer version of Shoal wrote the folder, or the file is damaged.
    """
    found = read_format(folder)
    if found > newest:
        raise StoreIncompatible(
            f"the data folder {folder} has format {found}, but this version of Shoal reads formats up to {newest}; "
            "start it with the version that wrote it or a newer one, or choose another folder with --data",
            file=str(folder / FILE),
        )
    return found


def bring_up_to_date(folder: Path, contents: Path, steps: Mapping[int, Step] = STEPS, newest: int = FORMAT) -> None:
    """Does what is to be done to a locked folder of an older version, or writes the version into a new one. Blocks.

    The version is written after each step: a crash on the way leaves a folder of the version that it had, and the step
    is done again.

    Args:
        folder: locked by the caller.
        contents: what a data folder that has a version holds.
        steps: from each version to the next.
        newest: what the folder has afterwards.

    Raises:
        StoreIncompatible: a newer version of Shoal wrote the folder, the file with the version is damaged, or it is
            missing though the contents are there; or the folder is so old that no step leads on from it.
    """
    try:
        found = check_readable(folder, newest)
    except FileNotFoundError:
        if contents.exists():
            # Somebody else's files: what looks like a leftover there must not be cleared away.
            raise StoreIncompatible(
                f"{folder} has a folder {contents.name!r} but no {FILE}, so Shoal did not make it; choose another "
                "folder with --data",
                file=str(folder / FILE),
            ) from None
        write_record(folder / FILE, {"format": newest})
        return
    for version in range(found, newest):
        if version not in steps:
            raise StoreIncompatible(
                f"the data folder {folder} has format {version}, which this version of Shoal no longer brings up to "
                "date; open it once with a version in between",
                file=str(folder / FILE),
            )
        _log.info("bringing the data folder from format %d to %d", version, version + 1)
        steps[version](folder)
        write_record(folder / FILE, {"format": version + 1})
