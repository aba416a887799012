"""Storing images: read, decode, embed, assign, write; each image for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

import numpy as np

from shoal_server.application.assign import vote_on
from shoal_server.application.grouped_calls import GroupedCalls
from shoal_server.application.measured import outcome_of
from shoal_server.application.near_duplicates import NearDuplicates
from shoal_server.application.open_collections import OpenCollection, OpenCollections, check_there
from shoal_server.application.ownership import check_own
from shoal_server.application.ports import ContentFetcher, Embedder, FileKind, ImageDecoder, ImageFiles, ImageStore
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.errors import InvalidField, ShoalError, UnreadableImage
from shoal_server.domain.image import (
    MAX_ALSO_AT,
    MAX_ATTRIBUTES,
    MAX_TAGS,
    NEAR_DUPLICATE_TAG,
    Attribute,
    Image,
    Metadata,
    OnNearDuplicate,
    Preview,
    Sha256,
    Vector,
    check_source,
    digest_of,
    image_id,
)
from shoal_server.domain.moments import moment_of
from shoal_server.domain.places import place_of

#: Most images in one write to the store.
WRITE_BATCH = 64

#: Images that the server reads itself at once, from the first byte to the write: their size is not known before.
_FETCHES = 4

#: Told the collection, and by how many its number of images changed.
OnChanged = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image as a client sends it.

    Attributes:
        content: the file's bytes; empty if they are to be fetched.
        uri: where the picture is.
        tags: labels.
        attributes: what else the client says of it.
        fetch: the bytes are read from ``uri`` here.
    """

    content: bytes = field(repr=False)
    uri: str = ""
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    fetch: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How images are stored.

    Attributes:
        drop_location: where they were taken is not stored, and their originals, which say it, are not kept.
        near_duplicates: None: as the server does by default.
    """

    drop_location: bool = False
    near_duplicates: OnNearDuplicate | None = None


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of an image.

    Attributes:
        image: as stored.
        duplicate: its bytes were stored before.
        near_duplicate_of: the stored image that it looks like, if that was asked for; the very ``image`` if this one
            was not stored for that.
    """

    image: Image
    duplicate: bool = False
    near_duplicate_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An image that is about to be written."""

    image: Image
    vector: Vector
    preview: Preview | None
    original: bytes | None = field(repr=False)
    near_duplicates: OnNearDuplicate


class _Batches:
    """What many images of one collection do together: being looked up, and being assigned and written."""

    def __init__(
        self,
        store: ImageStore,
        files: ImageFiles,
        near_duplicates: NearDuplicates,
        opened: OpenCollection,
        changed: OnChanged,
    ) -> None:
        self.opened = opened
        self._changed = changed
        self.lookups: GroupedCalls[UUID, Image | None] = GroupedCalls(self._look_up, WRITE_BATCH)
        self.writes: GroupedCalls[_Prepared, Ingested | ShoalError] = GroupedCalls(self._write, WRITE_BATCH)
        self._store = store
        self._files = files
        self._near_duplicates = near_duplicates

    async def _look_up(self, ids: Sequence[UUID]) -> list[Image | None]:
        async with self.opened.gate.reading():
            found = await self._store.get_images(self.opened.id, ids)
        return [found.get(identity) for identity in ids]

    async def _write(self, prepared: Sequence[_Prepared]) -> list[Ingested | ShoalError]:
        # From the first look to the write nothing else may be put in force, and the collection not be deleted.
        async with self.opened.gate.reading():
            check_there(self.opened)
            answers, kept = await self._without_near_duplicates(prepared)
            # The files first: an image that is acknowledged has them.
            await asyncio.gather(*(self._keep_files(row, each, answers) for row, each in kept.items()))
            storing = [
                (answer.image, kept[row].vector)
                for row, answer in enumerate(answers)
                if row in kept and isinstance(answer, Ingested)
            ]
            if not storing:
                return answers
            try:
                placed = await self._store_placed(storing)
            except Exception:
                await self._forget_files([image.id for image, _ in storing])
                raise
        stored = {image.id: image for image in placed}
        self.opened.images_version += 1
        self._changed(self.opened.id, len(stored))
        return [
            replace(answer, image=stored.get(answer.image.id, answer.image)) if isinstance(answer, Ingested) else answer
            for answer in answers
        ]

    async def _without_near_duplicates(
        self, prepared: Sequence[_Prepared]
    ) -> tuple[list[Ingested | ShoalError], dict[int, _Prepared]]:
        """The answers as far as they are known, and those to be stored by their place in them."""
        answers: list[Ingested | ShoalError] = [Ingested(each.image) for each in prepared]
        kept = dict(enumerate(prepared))
        asked = [row for row, each in kept.items() if each.near_duplicates is not OnNearDuplicate.KEEP]
        if not asked:
            return answers, kept
        # One that is kept without a question may be what the others look like.
        order = sorted(kept, key=lambda row: row in asked)
        found = await self._near_duplicates.find(
            self.opened, [(prepared[row].image, prepared[row].vector) for row in order]
        )
        for row, like in zip(order, found, strict=True):
            if like is None or row not in asked:
                continue
            if prepared[row].near_duplicates is OnNearDuplicate.SKIP:
                answers[row] = Ingested(like, near_duplicate_of=like.id)
                del kept[row]
            else:
                answers[row] = Ingested(_tagged(prepared[row].image), near_duplicate_of=like.id)
        return answers, kept

    async def _keep_files(self, row: int, prepared: _Prepared, answers: list[Ingested | ShoalError]) -> None:
        """Keeps an image's files; if that fails, it fails alone."""
        identity = prepared.image.id
        try:
            if prepared.preview is not None:
                await self._files.put(self.opened.id, identity, FileKind.THUMBNAIL, prepared.preview.thumbnail)
            if prepared.original is not None:
                await self._files.put(self.opened.id, identity, FileKind.ORIGINAL, prepared.original)
        except ShoalError as error:
            answers[row] = error
            await self._forget_files([identity])

    async def _forget_files(self, images: Sequence[UUID]) -> None:
        """Removes the files of images that were not stored; where that cannot be known, they stay."""
        with suppress(ShoalError):
            stored = await self._store.get_images(self.opened.id, images)
            await self._files.delete(self.opened.id, [image for image in images if image not in stored])

    async def _store_placed(self, images: Sequence[tuple[Image, Vector]]) -> list[Image]:
        """Stores images, each in its cluster; the caller holds the gate."""
        active = self.opened.clusters
        if active is not None:
            vectors = np.stack([vector for _, vector in images])
            decisions = await vote_on(self._store, self.opened, active, vectors)
            images = [
                (self._placed(image, cluster_id), vector)
                for (image, vector), (cluster_id, _) in zip(images, decisions, strict=True)
            ]
        await self._store.upsert_images(self.opened.id, images)
        return [image for image, _ in images]

    def _placed(self, image: Image, cluster_id: int | None) -> Image:
        """The image in its cluster, and at the place and in the moment it belongs to, if they are known."""
        groupings, metadata = self.opened.groupings, image.metadata
        return replace(
            image,
            cluster_id=cluster_id,
            place_id=place_of(metadata.location, groupings.places),
            moment_id=moment_of(metadata.captured_at, groupings.moments),
        )


class Ingest:
    """Stores images; the same bytes are embedded and stored once, also when they are sent twice at the same time."""

    def __init__(
        self,
        collections: OpenCollections,
        store: ImageStore,
        files: ImageFiles,
        decoder: ImageDecoder,
        embedder: Embedder,
        fetcher: ContentFetcher,
        near_duplicates: NearDuplicates,
        *,
        max_in_flight: int,
        keep_originals: bool = False,
        on_near_duplicate: OnNearDuplicate = OnNearDuplicate.KEEP,
        changed: OnChanged = lambda collection, by: None,
        dealt_with: Callable[[str, str], None] = lambda collection, outcome: None,
    ) -> None:
        """Args:
        collections: where to.
        store: where to.
        files: kept for the images.
        decoder: of the files.
        embedder: of the pixels.
        fetcher: of files that a client only names.
        near_duplicates: finds them.
        max_in_flight: most images between decoding and embedding at once; bounds the memory that pixels take.
        keep_originals: keep the files as they were sent.
        on_near_duplicate: what to do where a client does not say.
        changed: told how many images came to which collection.
        dealt_with: told the collection and what became of each image sent to it: ``stored``, ``duplicate``,
            ``near_duplicate``, ``refused``, ``cancelled`` or ``failed``.
        """
        self._collections = collections
        self._store = store
        self._files = files
        self._decoder = decoder
        self._embedder = embedder
        self._fetcher = fetcher
        self._near_duplicates = near_duplicates
        self._keep_originals = keep_originals
        self._on_near_duplicate = on_near_duplicate
        self._changed = changed
        self._dealt_with = dealt_with
        self._room = asyncio.Semaphore(max_in_flight)
        self._fetches = asyncio.Semaphore(_FETCHES)
        self._busy: dict[tuple[str, UUID], asyncio.Event] = {}
        self._open_batches: dict[str, _Batches] = {}

    async def check(self, collection: str) -> None:
        """Finds out whether images can be stored there at all, before the first of many is sent.

        Raises:
            AttachedCollection: the images are somebody else's.
            ShoalError: as :meth:`OpenCollections.open`.
        """
        check_own(await self._collections.open(collection), "images cannot be put into it")

    async def __call__(self, collection: str, new: NewImage, options: Options = Options()) -> Ingested:
        """Stores one image; when this returns, it is safe.

        Raises:
            UnreadableImage: the bytes are no image that is read here.
            InvalidField: as :func:`check_source`.
            AttachedCollection: the images are somebody else's.
            ShoalError: as :meth:`OpenCollections.open`, :class:`Embedder` and :class:`ContentFetcher`.
        """
        opened = await self._collections.open(collection)
        check_own(opened, "images cannot be put into it")
        try:
            ingested = await self._ingest(opened, new, options)
        except BaseException as error:
            self._dealt_with(opened.id, outcome_of(error))
            raise
        self._dealt_with(opened.id, _outcome(ingested))
        return ingested

    async def _ingest(self, opened: OpenCollection, new: NewImage, options: Options) -> Ingested:
        check_source(new.uri, new.tags, new.attributes)
        if not new.fetch:
            return await self._take_in(opened, new, options)
        if new.content:
            raise InvalidField("image.fetch", "there is content as well; send one or the other")
        async with self._fetches:
            content = await self._fetcher.fetch(new.uri)
            return await self._take_in(opened, replace(new, content=content), options)

    async def _take_in(self, opened: OpenCollection, new: NewImage, options: Options) -> Ingested:
        sha256 = await asyncio.to_thread(digest_of, new.content)
        key = (opened.id, image_id(sha256))
        while (other := self._busy.get(key)) is not None:
            await other.wait()
        done = self._busy[key] = asyncio.Event()
        try:
            stored = await self._batches(opened).lookups.ask(key[1])
            if stored is not None:
                stored = await self._again(opened, stored, new, options)
            if stored is not None:
                return Ingested(stored, duplicate=True)
            return await self._store_new(opened, key[1], sha256, new, options)
        finally:
            del self._busy[key]
            done.set()

    async def _again(self, opened: OpenCollection, stored: Image, new: NewImage, options: Options) -> Image | None:
        """An image that is sent again, with what is new about it; None if it is gone meanwhile."""
        preview = await self._preview_lacking(opened, stored.id, new.content)
        original = self._original(new, options)
        if original is not None and await self._files.size(opened.id, stored.id, FileKind.ORIGINAL) is not None:
            original = None
        if preview is None and original is None and _with_what_is_new(stored, new) == stored:
            return stored
        return await unbroken(self._complete(opened, stored.id, new, preview, original))

    async def _preview_lacking(self, opened: OpenCollection, identity: UUID, content: bytes) -> Preview | None:
        """The preview of an image that was stored without one, by an earlier version."""
        if await self._files.size(opened.id, identity, FileKind.THUMBNAIL) is not None:
            return None
        async with self._room:
            with suppress(UnreadableImage):
                return (await self._decoder.decode(content, with_preview=True)).preview
        return None

    async def _complete(
        self, opened: OpenCollection, identity: UUID, new: NewImage, preview: Preview | None, original: bytes | None
    ) -> Image | None:
        # Nobody else changes or deletes the image meanwhile.
        async with opened.gate.reading(), opened.changing:
            check_there(opened)
            stored = (await self._store.get_images(opened.id, [identity])).get(identity)
            if stored is None:
                return None
            told = _with_what_is_new(stored, new)
            if preview is not None:
                await self._files.put(opened.id, identity, FileKind.THUMBNAIL, preview.thumbnail)
                told = replace(told, phash=told.phash or preview.phash)
            if original is not None:
                await self._files.put(opened.id, identity, FileKind.ORIGINAL, original)
            if told != stored:
                await self._store.update_image(opened.id, told)
                opened.images_version += 1
        return told

    async def _store_new(
        self, opened: OpenCollection, identity: UUID, sha256: Sha256, new: NewImage, options: Options
    ) -> Ingested:
        metadata, preview, vector = await self._read(new.content)
        image = Image(
            id=identity,
            sha256=sha256,
            uri=new.uri,
            tags=tuple(dict.fromkeys(new.tags)),
            metadata=replace(metadata, location=None, altitude_m=None) if options.drop_location else metadata,
            ingested_at=datetime.now(UTC),
            attributes=new.attributes,
            phash=None if preview is None else preview.phash,
        )
        prepared = _Prepared(
            image=image,
            vector=vector,
            preview=preview,
            original=self._original(new, options),
            near_duplicates=options.near_duplicates or self._on_near_duplicate,
        )
        answer = await self._batches(opened).writes.ask(prepared)
        if isinstance(answer, ShoalError):
            raise answer
        return answer

    def _original(self, new: NewImage, options: Options) -> bytes | None:
        """The file to keep; one as it was sent has the location that is not to be kept."""
        return new.content if self._keep_originals and not options.drop_location else None

    def _batches(self, opened: OpenCollection) -> _Batches:
        batches = self._open_batches.get(opened.id)
        if batches is None or batches.opened is not opened:
            # The first image of a collection, or of one that was deleted and made again.
            batches = self._open_batches[opened.id] = _Batches(
                self._store, self._files, self._near_duplicates, opened, self._changed
            )
        return batches

    async def _read(self, content: bytes) -> tuple[Metadata, Preview | None, Vector]:
        async with self._room:
            decoded = await self._decoder.decode(content, with_preview=True)
            metadata, preview = decoded.metadata, decoded.preview
            embedding = self._embedder.embed_image(decoded.pixels)
            # Pixels take megabytes, and the model may be a while: nobody else may hold them.
            del decoded
            return metadata, preview, await embedding


def _with_what_is_new(stored: Image, new: NewImage) -> Image:
    """A stored image with what a client says of it now; mostly that is nothing new.

    What is there stays: another uri is one more place, an attribute keeps its value, and lists end at their limits.
    """
    places = dict.fromkeys((*stored.also_at, new.uri))
    if new.uri in ("", stored.uri):
        del places[new.uri]
    attributes = {**stored.attributes, **new.attributes, **stored.attributes}
    return replace(
        stored,
        also_at=tuple(places)[:MAX_ALSO_AT],
        tags=tuple(dict.fromkeys((*stored.tags, *new.tags)))[:MAX_TAGS],
        attributes=dict(islice(attributes.items(), MAX_ATTRIBUTES)),
    )


def _outcome(ingested: Ingested) -> str:
    if ingested.duplicate:
        return "duplicate"
    return "near_duplicate" if ingested.near_duplicate_of == ingested.image.id else "stored"


def _tagged(image: Image) -> Image:
    tags = (*image.tags[: MAX_TAGS - 1], NEAR_DUPLICATE_TAG)
    return replace(image, tags=tuple(dict.fromkeys(tags)))
