"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from shoal_client.errors import AlreadyExists, InvalidArgument

#: Names of what a process has open. If that is a file, somebody else is writing to it.
_STREAM = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/(self|thread-self|\d+)/fd/\d+")


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file that gets its name when all is written; nothing stays of it if anything is raised before.

    Args:
        path: where it shall be, in a folder that exists. A link stays, and the file that it leads to is written.
        overwrite: take the place of a file that is there.

    Raises:
        AlreadyExists: a file is there, or came there meanwhile, and is not to be overwritten.
        InvalidArgument: something is there that is no file, which is never replaced.
        OSError: it cannot be written; names the path.
    """
    check_writable(path, overwrite=overwrite)
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{uuid4().hex}.shoal-part")
    try:
        with partial.open("xb") as file:
            yield file
        if overwrite:
            partial.replace(target)
        else:
            _place(partial, target, path)
    except OSError as error:
        if error.errno is None or error.filename not in {None, str(partial)}:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path: Path, *, overwrite: bool) -> None:
    """What can be known before there is anything to write.

    Raises:
        AlreadyExists: a file is there, and is not to be overwritten.
        InvalidArgument: something is there that is no file: a folder, a device, a pipe.
        OSError: there is no such folder, or it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    stream = _STREAM.fullmatch(str(path.absolute())) is not None
    if stream or (mode is not None and not stat.S_ISREG(mode)):
        kind = (
            "a folder; name a file in it"
            if mode is not None and stat.S_ISDIR(mode)
            else "a device or a pipe; name a file"
        )
        raise InvalidArgument(f"{path} is {kind}", reason="NO_REGULAR_FILE", metadata={"path": str(path)})
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    if not Path(os.path.realpath(path)).parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(path.parent))


def _place(partial: Path, target: Path, path: Path) -> None:
    try:
        target.hardlink_to(partial)  # in one step: fails if a file came there
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise _exists(path) from None
        partial.rename(target)


def _exists(path: Path) -> AlreadyExists:
    return AlreadyExists(
        f"{path} is there already; name another file, or say that it may be overwritten",
        reason="FILE_EXISTS",
        metadata={"path": str(path)},
    )
