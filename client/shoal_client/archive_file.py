"""The file that a backup is written to."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal_client.whole_file import whole_file

#: Suffixes of files that are compressed.
_COMPRESSED = (".gz", ".tgz")
#: Vectors hardly get smaller at any level; what does, does at a low one.
_LEVEL = 3


@contextmanager
def archive_file(path: Path, *, overwrite: bool) -> Iterator[Callable[[bytes], object]]:
    """What writes to a new file, compressed with gzip if its name ends in ``.gz`` or ``.tgz``.

    The file appears, durably, when all is written; nothing stays of it if anything is raised before. Blocks.

    Args:
        path: where it shall be, in a folder that exists.
        overwrite: take the place of a file that is there.

    Raises:
        AlreadyExists: a file is there, and is not to be overwritten.
        InvalidArgument: something is there that is no file.
        OSError: it cannot be written, or the disk is full; names the path.
    """
    with whole_file(path, overwrite=overwrite) as file:
        if path.name.lower().endswith(_COMPRESSED):
            with gzip.GzipFile("", "wb", _LEVEL, file) as compressed:
                yield compressed.write
        else:
            yield file.write
        file.flush()
        os.fsync(file.fileno())
