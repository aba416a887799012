"""What ``shoal ingest`` was asked to take: paths, manifests, a list on stdin, the failures of before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from shoal_client.bulk.archives import is_archive
from shoal_client.bulk.failures import Retry
from shoal_client.bulk.manifest import count_rows, read_manifest
from shoal_client.bulk.path_list import read_paths
from shoal_client.errors import ShoalError
from shoal_client.files import LeftOut, scan
from shoal_client.sources import BadSource, NewImage

#: In place of a path: a list of paths on stdin.
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the images come from, in this order.

    Attributes:
        paths: files, folders, patterns and archives.
        manifests: tables.
        retry: failures of before.
        from_stdin: there is a list of paths on stdin.
        null: it is separated by null bytes.
        left_out: counts what was not taken.
    """

    paths: Sequence[Path]
    manifests: Sequence[Path] = ()
    retry: Retry | None = None
    from_stdin: bool = False
    null: bool = False
    left_out: LeftOut = field(default_factory=LeftOut)

    def images(self) -> Iterator[NewImage | BadSource]:
        """The images, found while they are asked for.

        Raises:
            ShoalError: a manifest or the list of failures cannot be used.
        """
        yield from scan(self.paths, self.left_out)
        for manifest in self.manifests:
            yield from read_manifest(manifest)
        if self.retry is not None:
            yield from self.retry.images(self.left_out)
        if self.from_stdin:
            listed = read_paths(typer.get_binary_stream("stdin"), null=self.null)
            yield from scan(listed, self.left_out, patterns=False)

    def count(self) -> int | None:
        """How many images there are; None if nobody can say without reading all of them."""
        if self.from_stdin or any(is_archive(path.name) and path.suffix not in {".zip", ".tar"} for path in self.paths):
            return None
        try:
            number = _length(scan(self.paths, LeftOut())) + sum(map(count_rows, self.manifests))
            return number + (self.retry.count() if self.retry is not None else 0)
        except (ShoalError, OSError):  # it is told where it is read
            return None

    @property
    def drops_location(self) -> bool:
        """Whether what failed before was not to be stored with where it was taken.

        Raises:
            UnreadableFile: the list of failures cannot be read.
        """
        return self.retry is not None and self.retry.drops_location()

    @property
    def folders(self) -> list[Path]:
        """The folders among the paths."""
        return [path for path in self.paths if path.is_dir()]

    @property
    def names(self) -> str:
        """What was given, for a message."""
        given = [*map(str, [*self.paths, *self.manifests]), *(["the list on stdin"] if self.from_stdin else [])]
        return ", ".join(given)


def _length(items: Iterable[object]) -> int:
    return sum(1 for _ in items)
