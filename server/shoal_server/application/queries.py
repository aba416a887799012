"""What a search looks for and among which images, in the terms of the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import Embedder, ImageDecoder, ImageStore
from shoal_server.domain.errors import (
    EmptyText,
    ImageNotFound,
    InvalidField,
    MomentNotFound,
    PlaceNotFound,
    WrongDimension,
)
from shoal_server.domain.image import ImageFilter, Vector
from shoal_server.domain.themes import clusters_of_themes

MAX_TEXT = 2000


@dataclass(frozen=True, slots=True)
class TextQuery:
    """What to look for, in words."""

    text: str


@dataclass(frozen=True, slots=True)
class ContentQuery:
    """An image file's bytes."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """A stored image."""

    image: UUID


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """An embedding of any length but zero, float32 (n,)."""

    vector: NDArray[np.float32] = field(repr=False)


Query = TextQuery | ContentQuery | ImageQuery | VectorQuery


@dataclass(frozen=True, slots=True)
class Where:
    """Which images somebody asks for; all conditions hold together.

    Attributes:
        clusters: in any of these, or in a cluster below any of ``themes``.
        themes: by id.
        unclustered: in no cluster; does not go with ``clusters`` or ``themes``.
        places: at any of these; empty means anywhere.
        moments: in any of these; empty means at any time.
    """

    clusters: tuple[int, ...] = ()
    themes: tuple[int, ...] = ()
    unclustered: bool = False
    places: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()

    def as_filter(self, opened: OpenCollection) -> ImageFilter:
        """What that means with the groupings in force; the caller holds the collection's gate.

        Raises:
            ThemeNotFound: one of the themes is not in force.
            PlaceNotFound: one of the places is not.
            MomentNotFound: one of the moments is not.
        """
        groupings = opened.groupings
        for place in set(self.places) - {each.id for each in groupings.places}:
            raise PlaceNotFound(opened.id, place)
        for moment in set(self.moments) - {each.id for each in groupings.moments}:
            raise MomentNotFound(opened.id, moment)
        below = clusters_of_themes(opened.id, groupings, self.themes)
        return ImageFilter(
            clusters=tuple(dict.fromkeys((*self.clusters, *below))),
            unclustered=self.unclustered,
            places=self.places,
            moments=self.moments,
        )


class QueryVectors:
    """Turns queries into unit vectors of a collection's model."""

    def __init__(self, store: ImageStore, decoder: ImageDecoder, embedder: Embedder) -> None:
        self._store = store
        self._decoder = decoder
        self._embedder = embedder

    async def vector_of(self, opened: OpenCollection, query: Query) -> Vector:
        """The query as a unit vector, float32 (dimension,).

        Raises:
            EmptyText: a text without words.
            InvalidField: a text over the limit, or a vector that is zero or not finite.
            UnreadableImage: bytes that are no image.
            ImageNotFound: no such image.
            WrongDimension: a vector of another length than the model's.
        """
        match query:
            case TextQuery(text=text):
                if not text.strip():
                    raise EmptyText
                if len(text) > MAX_TEXT:
                    raise InvalidField("text", f"{len(text)} characters; at most {MAX_TEXT} are read")
                return await self._embedder.embed_text(text.strip())
            case ContentQuery(content=content):
                return await self._embedder.embed_image((await self._decoder.decode(content)).pixels)
            case ImageQuery(image=image):
                found = await self._store.get_vectors(opened.id, [image])
                if image not in found:
                    raise ImageNotFound(opened.id, str(image))
                return found[image]
            case VectorQuery(vector=vector):
                return self._unit(opened, vector)

    @staticmethod
    def _unit(opened: OpenCollection, vector: NDArray[np.float32]) -> Vector:
        model = opened.record.model
        if len(vector) != model.dimension:
            raise WrongDimension(len(vector), model.dimension, model.name)
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if not np.isfinite(norm) or norm == 0:
            raise InvalidField("vector", "must be finite and not all zero")
        return (vector / norm).astype(np.float32)
