"""Whether a collection is the same in two stores: everything is read back from both and compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.ports import FileKind, ImageFiles, RunAssignments, RunFiles, Store
from shoal_server.domain import payload, records
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.correction import Moves
from shoal_server.domain.errors import CorrectionNotFound, FileNotKept, RunNotFound, StoreIncompatible
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, Vector

#: Most that a component of a unit vector may differ. Qdrant and its engine give vectors of unit length back bit for
#: bit; what normalises them again rounds the last bit of some.
TOLERANCE = 1e-6

BATCH = 1024
_EVERY = ImageFilter()


@dataclass(frozen=True, slots=True)
class Side:
    """A store with what is kept beside it.

    Attributes:
        store: of images, clusters and records.
        runs: files of its runs.
        files: files of its images.
        location: where it is, for messages and to know it again.
    """

    store: Store
    runs: RunFiles
    files: ImageFiles
    location: str


@dataclass(frozen=True, slots=True)
class Compared:
    """What two sides that are the same have.

    Attributes:
        images: how many.
        runs: how many.
        corrections: how many.
        files: of images, how many.
        digest: SHA-256, in hexadecimal, of (id, vector, payload as canonical JSON) of every image in the order of the
            ids, then of the records and files of the runs and corrections, as read from the target.
        largest_difference: between two components of vectors; 0.0 if all are the same bit for bit, and the digests too.
    """

    images: int
    runs: int
    corrections: int
    files: int
    digest: str
    largest_difference: float


class Comparison:
    """Compares a collection on two sides."""

    def __init__(self, source: Side, target: Side, progress: Callable[[int, int], None]) -> None:
        """Args:
        source: the one.
        target: the other.
        progress: told how many images were compared, of how many.
        """
        self._source = source
        self._target = target
        self._progress = progress
        self._digests = (hashlib.sha256(), hashlib.sha256())
        self._largest = 0.0

    async def of(self, collection: str) -> Compared:
        """Reads a collection back from both sides.

        Raises:
            StoreIncompatible: they differ; the message says in what.
        """
        images, files = await self._images(collection)
        runs, corrections = await self._history(collection)
        exact, read_back = (digest.hexdigest() for digest in self._digests)
        if exact != read_back and not self._largest:
            raise StoreIncompatible(f"the digests of collection {collection!r} differ: {exact} and {read_back}")
        return Compared(images, runs, corrections, files, read_back, self._largest)

    async def _images(self, collection: str) -> tuple[int, int]:
        total = await self._source.store.count_images(collection, _EVERY)
        count = files = 0
        target = pages(self._target.store, collection)
        async for page in pages(self._source.store, collection):
            other: list[tuple[Image, Vector]] = await anext(target, [])
            for left, right in zip_longest(page, other):
                if left is None or right is None or left[0].id != right[0].id:
                    raise _differ(collection, f"not the same images (near {(left or right)[0].id})")
                self._add(collection, f"image {left[0].id}", _said(left[0]), _said(right[0]))
                self._add_vectors(collection, f"image {left[0].id}", left[1], right[1])
            for kind in FileKind:
                files += await self._files(collection, [image.id for image, _ in page], kind)
            count += len(page)
            self._progress(count, total)
        if await anext(target, []):
            raise _differ(collection, "more images than in the source")
        return count, files

    async def _files(self, collection: str, images: Iterable[UUID], kind: FileKind) -> int:
        count = 0
        for image in images:
            size = await self._source.files.size(collection, image, kind)
            if size is None:
                continue
            count += 1
            digests = [await file_digest(side.files, collection, image, kind) for side in (self._source, self._target)]
            if digests[0] != digests[1]:
                raise _differ(collection, f"the file in {kind.value} of image {image}")
        return count

    async def _history(self, collection: str) -> tuple[int, int]:
        runs = [await side.store.list_runs(collection) for side in (self._source, self._target)]
        self._add(collection, "the runs", *([records.run_to_record(run) for run in each] for each in runs))
        for run in runs[0]:
            clusters = [await side.store.get_clusters(collection, run.id) for side in (self._source, self._target)]
            self._add(collection, f"the clusters of run {run.id}", *map(_without_centroids, clusters))
            for left, right in zip(*clusters, strict=True):
                self._add_vectors(collection, f"cluster {left.id} of run {run.id}", left.centroid, right.centroid)
            groupings = [await side.store.get_groupings(collection, run.id) for side in (self._source, self._target)]
            self._add(collection, f"the groupings of run {run.id}", *map(records.groupings_to_record, groupings))
            files = [_run_bytes(await read_run(side.runs, collection, run.id)) for side in (self._source, self._target)]
            self._add_bytes(collection, f"the file of run {run.id}", *files)
        corrections = [await side.store.list_corrections(collection) for side in (self._source, self._target)]
        told = ([records.correction_to_record(correction) for correction in each] for each in corrections)
        self._add(collection, "the corrections", *told)
        for correction in corrections[0]:
            moves = [
                _moves_bytes(await read_moves(side.runs, collection, correction.id))
                for side in (self._source, self._target)
            ]
            self._add_bytes(collection, f"the moves of correction {correction.id}", *moves)
        return len(runs[0]), len(corrections[0])

    def _add(self, collection: str, what: str, left: Any, right: Any) -> None:
        self._add_bytes(collection, what, canonical(left), canonical(right))

    def _add_bytes(self, collection: str, what: str, left: bytes, right: bytes) -> None:
        if left != right:
            raise _differ(collection, what)
        for digest in self._digests:
            digest.update(left)

    def _add_vectors(self, collection: str, what: str, left: Vector, right: Vector) -> None:
        difference = distance(left, right)
        if difference > TOLERANCE:
            raise _differ(collection, f"the vector of {what}, by {difference:.2g}")
        self._largest = max(self._largest, difference)
        for digest, vector in zip(self._digests, (left, right), strict=True):
            digest.update(_array_bytes(vector))


def distance(left: Vector, right: Vector) -> float:
    """The largest difference of two components; infinite between vectors of different lengths."""
    if left.shape != right.shape:
        return float("inf")
    return float(np.abs(left - right).max(initial=0.0))


def canonical(value: Any) -> bytes:
    """A value's JSON, always the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


async def pages(store: Store, collection: str) -> AsyncIterator[list[tuple[Image, Vector]]]:
    """All images with their vectors, in the order of the ids; every page but the last is full."""
    after: UUID | None = None
    while True:
        images, after = await store.page_images(collection, _EVERY, after, BATCH)
        vectors = await store.get_vectors(collection, [image.id for image in images])
        if images:
            # Without a vector: deleted between the two.
            yield [(image, vectors[image.id]) for image in images if image.id in vectors]
        if after is None:
            return


async def read_run(files: RunFiles, collection: str, run: str) -> RunAssignments | None:
    """A run's file; None if there is none, as of a run that failed."""
    try:
        return await files.read(collection, run)
    except RunNotFound:
        return None


async def read_moves(files: RunFiles, collection: str, correction: str) -> Moves | None:
    """What a correction moved; None if that is not known."""
    try:
        return await files.read_moves(collection, correction)
    except CorrectionNotFound:
        return None


async def file_digest(files: ImageFiles, collection: str, image: UUID, kind: FileKind) -> bytes | None:
    """SHA-256 of an image's file; None if there is none."""
    digest = hashlib.sha256()
    try:
        async for part in files.read(collection, image, kind):
            digest.update(part)
    except FileNotKept:
        return None
    return digest.digest()


def _differ(collection: str, what: str) -> StoreIncompatible:
    return StoreIncompatible(
        f"collection {collection!r} is not the same on both sides: {what}; was it changed meanwhile? Stop what writes "
        "to it and move it again, with --replace if it was complete before",
        collection=collection,
    )


def _said(image: Image) -> Any:
    return [str(image.id), payload.to_payload(image)]


def _without_centroids(clusters: Iterable[Cluster]) -> Any:
    return [records.cluster_to_record(cluster) for cluster in clusters]


def _run_bytes(run: RunAssignments | None) -> bytes:
    if run is None:
        return b""
    columns: tuple[NDArray[Any], ...] = (
        run.cluster_ids,
        run.strengths,
        run.coordinates,
        run.reduced,
        run.fingerprints,
        run.placed,
        run.last_ids,
        run.dissolved_ids,
        run.place_ids,
        run.moment_ids,
    )
    gone = np.array(run.gone, dtype=np.int64)
    return b"".join([*(image.bytes for image in run.ids), *map(_array_bytes, columns), _array_bytes(gone)])


def _moves_bytes(moves: Moves | None) -> bytes:
    if moves is None:
        return b""
    return b"".join([*(image.bytes for image in moves.ids), _array_bytes(moves.before), _array_bytes(moves.after)])


def _array_bytes(array: NDArray[Any]) -> bytes:
    """The same on every machine; what is not a number has one form."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if np.issubdtype(little.dtype, np.floating):
        little = np.where(np.isnan(little), np.nan, little).astype(little.dtype)
    return little.tobytes()
