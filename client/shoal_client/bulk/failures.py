"""A file of the images that failed, one JSON object a line, and how to ingest just those again."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from shoal_client.bulk.archives import members
from shoal_client.errors import Cancelled, InvalidArgument, ShoalError, UnreadableFile
from shoal_client.files import IMAGE_SUFFIXES, LeftOut, scan
from shoal_client.filters import Attribute
from shoal_client.sources import ArchiveMember, BadSource, Common, ImageInput, ImageSource, NewImage, unreadable

#: Appended to the file's name while it is written.
PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class BadAgain(BadSource):
    """What failed before and still cannot be looked at, with what its line said of it.

    Attributes:
        tags: of the line.
        attributes: of the line.
        archive: that it is in; None: it is in none.
        member: its name there.
    """

    tags: Sequence[str] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)
    archive: Path | None = None
    member: str = ""


def failure_line(given: ImageSource, error: ShoalError, common: Common, *, drop_location: bool) -> dict[str, Any]:
    """What failed and why, and what it takes to try again.

    ``path`` is absolute; with ``member`` it is an archive's. It may also be a folder's, or a whole archive's: what is
    said is then said of all that is in it.
    """
    line: dict[str, Any] = {"path": None, "uri": None, "reason": error.reason, "message": error.message}
    tags: Sequence[str] = ()
    attributes: Mapping[str, Attribute] = {}
    if isinstance(given, BadSource):
        line["path"] = _absolute(given)
    if isinstance(given, BadAgain) and given.archive is not None:
        line |= {"path": str(given.archive.absolute()), "member": given.member}
    if isinstance(given, BadAgain | NewImage):
        tags, attributes = given.tags, given.attributes
    if isinstance(given, NewImage):
        line["uri"] = given.uri or None
        if isinstance(given.image, ArchiveMember):
            line |= {"path": str(given.image.archive.absolute()), "member": given.image.name}
        elif given.image is not None and not isinstance(given.image, bytes):
            line["path"] = str(Path(given.image).absolute())
    return line | {
        "tags": list(dict.fromkeys([*tags, *common.tags])),
        "attributes": {**common.attributes, **attributes},
        "drop_location": drop_location,
    }


def _absolute(bad: BadSource) -> str:
    """The path of what is bad; of a line of a manifest, which has none and cannot be tried again, what it is called."""
    is_path = isinstance(bad.error, UnreadableFile) or os.path.exists(bad.label)  # noqa: PTH110 - which raises nothing
    return str(Path(bad.label).absolute()) if is_path else bad.label


class Retry:
    """The images of a file of failures.

    Args:
        path: the file.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken = 0
        self._waiting: dict[str, _Failure] = {}

    def images(self, left_out: LeftOut) -> Iterator[NewImage | BadSource]:
        """The images, one after the other; those of an archive that stand together are read in one go.

        Args:
            left_out: counts what is passed over in folders that could not be read before.

        Raises:
            UnreadableFile: the file cannot be read.
        """
        for archive, group in groupby(self._failures(), key=lambda failure: failure.archive):
            if archive is None:
                for failure in group:
                    self._taken = failure.number
                    yield from failure.alone(left_out)
                continue
            together = list(group)
            self._taken = together[-1].number
            self._waiting = {failure.member: failure for failure in together}
            yield from self._from_archive(archive)

    def untried(self) -> Iterator[str]:
        """The lines that :meth:`images` has not come to."""
        for failure in self._waiting.values():
            yield failure.line
        for number, line in self._lines():
            if number > self._taken:
                yield line

    def drops_location(self) -> bool:
        """Whether it was said of any of them not to store where it was taken.

        Raises:
            UnreadableFile: the file cannot be read.
        """
        return any(failure.drops_location for failure in self._failures())

    def count(self) -> int:
        """How many there are."""
        return sum(1 for _ in self._lines())

    def _from_archive(self, archive: Path) -> Iterator[NewImage | BadSource]:
        problem = "the archive has no such member any more"
        for member in members(archive, IMAGE_SUFFIXES, Counter()):
            if isinstance(member, BadSource):
                problem = member.error.message
            elif (failure := self._waiting.pop(member.name, None)) is not None:
                yield failure.said_of(member)
        missing, self._waiting = self._waiting, {}
        for name, failure in missing.items():
            error = UnreadableFile(str(archive), f"{archive}#{name}: {problem}")
            yield BadAgain(f"{archive}#{name}", error, failure.tags, failure.attributes, archive, name)

    def _failures(self) -> Iterator[_Failure]:
        for number, line in self._lines():
            yield _Failure(self.path, number, line)

    def _lines(self) -> Iterator[tuple[int, str]]:
        try:
            with self.path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, line.rstrip("\n") + "\n"
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(str(self.path), error) from error


class _Failure:
    """One line of a file of failures."""

    def __init__(self, path: Path, number: int, line: str) -> None:
        self.number = number
        self.line = line
        self._label = f"{path}, line {number}"
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        self._said: dict[str, Any] = said if isinstance(said, dict) else {}

    @property
    def archive(self) -> Path | None:
        """The archive that the image is in."""
        return Path(self._said["path"]) if self._text("path") and self._text("member") else None

    @property
    def member(self) -> str:
        """The image's name in its archive."""
        return self._text("member")

    @property
    def tags(self) -> list[str]:
        """What it was to be tagged with."""
        tags = self._said.get("tags")
        return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The attributes that it was to have."""
        attributes = self._said.get("attributes")
        if not isinstance(attributes, dict):
            return {}
        return {key: value for key, value in attributes.items() if isinstance(value, str | int | float)}

    @property
    def drops_location(self) -> bool:
        """Whether it was not to be stored where it was taken."""
        return self._said.get("drop_location") is True

    def alone(self, left_out: LeftOut) -> Iterator[NewImage | BadSource]:
        """The image of a line that needs no other; several if it was a folder."""
        if path := self._text("path"):
            for each in scan([Path(path)], left_out):
                if isinstance(each, BadSource):
                    yield BadAgain(each.label, each.error, self.tags, self.attributes)
                else:
                    yield self.said_of(each.image)
        elif self._text("uri"):
            yield self.said_of(None)
        else:
            problem = InvalidArgument(f"{self._label}: neither path nor uri says what failed", reason="INVALID_FIELD")
            yield BadSource(self._label, problem)

    def said_of(self, image: ImageInput | ArchiveMember | None) -> NewImage:
        """The image with what was said of it."""
        return NewImage(image, self._text("uri"), self.tags, self.attributes)

    def _text(self, field: str) -> str:
        value = self._said.get(field)
        return value if isinstance(value, str) else ""


class FailureFile:
    """Takes the failures as they happen; a context manager.

    If the file is also the one whose failures are tried again, it is replaced at the end: by what failed again and what
    was not tried any more.

    Args:
        path: the file.
        retried: the failures that are tried again, if there are any.
        common: what is said of every image.
        drop_location: they are stored without where they were taken.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, retried: Retry | None, common: Common, *, drop_location: bool = False) -> None:
        self._path = path
        self._common = common
        self._drop_location = drop_location
        same = retried is not None and retried.path.resolve() == path.resolve()
        self._retried = retried if same else None
        self._written_to = path.with_name(path.name + PARTIAL) if same else path
        self._file: TextIO = self._written_to.open("w", encoding="utf-8")

    def __enter__(self) -> FailureFile:
        return self

    def __exit__(self, *_: object) -> None:
        with self._named(), self._file as file:
            file.writelines(self._retried.untried() if self._retried is not None else ())
        if self._retried is not None:
            self._written_to.replace(self._path)

    def keep(self, given: Iterable[ImageSource]) -> None:
        """Keeps images that were to be tried again, and were not answered any more."""
        if self._retried is not None:
            for each in given:
                self.add(each, Cancelled("the ingest ended before it was answered", reason="NOT_TRIED"))

    def add(self, given: ImageSource, error: ShoalError) -> None:
        """Writes one failure, so that it is there whatever happens next.

        Raises:
            OSError: it cannot be written.
        """
        with self._named():
            line = failure_line(given, error, self._common, drop_location=self._drop_location)
            json.dump(line, self._file)
            self._file.write("\n")
            self._file.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Says which file cannot be written: the system names one only when it is opened."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._written_to)) from error
