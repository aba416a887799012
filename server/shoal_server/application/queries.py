"""What a search looks for and among which images, in the terms of the store."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
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
    NoModel,
    PlaceNotFound,
    ReadsNoText,
    WrongDimension,
)
from shoal_server.domain.filters import Condition, ImageFilter
from shoal_server.domain.image import Vector
from shoal_server.domain.themes import clusters_of_themes

MAX_TEXT = 2000
MAX_TERMS = 32
MAX_WEIGHT = 10
MAX_TASTES = 100

#: A sum of unit vectors that is this much shorter than their weights has no direction but that of rounding errors.
_NOTHING = 1e-6


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
class Term:
    """One of several things to look for; what has a negative weight is to be unlike."""

    query: Query
    weight: float = 1.0


def check_terms(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Several things to look for.

    Raises:
        InvalidField: there are too many, a weight is none, or nothing is looked for.
    """
    if len(terms) > MAX_TERMS:
        raise InvalidField("terms", f"{len(terms)} terms; at most {MAX_TERMS} are looked for at once")
    for term in terms:
        if term.weight == 0 or not math.isfinite(term.weight) or abs(term.weight) > MAX_WEIGHT:
            raise InvalidField("terms.weight", f"{term.weight:g} is not within -{MAX_WEIGHT} and {MAX_WEIGHT}, or 0")
    if all(term.weight < 0 for term in terms):
        raise InvalidField("terms", "all weights are below 0; say as well what to look for")
    return tuple(terms)


def check_tastes(liked: Sequence[UUID], disliked: Sequence[UUID]) -> tuple[tuple[UUID, ...], tuple[UUID, ...]]:
    """The liked and the disliked images, each once.

    Raises:
        InvalidField: none are liked, there are too many, or one is liked and disliked.
    """
    liked, disliked = tuple(dict.fromkeys(liked)), tuple(dict.fromkeys(disliked))
    if not liked:
        raise InvalidField("liked", "is empty; name at least one image")
    for name, images in (("liked", liked), ("disliked", disliked)):
        if len(images) > MAX_TASTES:
            raise InvalidField(name, f"{len(images)} images; at most {MAX_TASTES} are taken")
    if both := set(liked) & set(disliked):
        raise InvalidField("disliked", f"{min(map(str, both))} is liked as well")
    return liked, disliked


def check_diversity(diversity: float) -> float:
    """Raises:
    InvalidField: it is not within 0 and 1.
    """
    if not 0 <= diversity <= 1:
        raise InvalidField("diversity", f"{diversity:g} is not within 0 and 1")
    return diversity


def check_threshold(threshold: float | None) -> float | None:
    """The least score to answer with; None for any.

    Raises:
        InvalidField: it is not within -1 and 1, or not a number.
    """
    if threshold is not None and not -1 <= threshold <= 1:
        raise InvalidField("score_threshold", f"{threshold:g} is not within -1 and 1; leave it out for any score")
    return threshold


@dataclass(frozen=True, slots=True)
class Where:
    """Which images somebody asks for; all that is said holds together.

    Attributes:
        clusters: in any of these, or in a cluster below any of ``themes``.
        themes: by id.
        unclustered: in no cluster; does not go with ``clusters`` or ``themes``.
        places: at any of these; empty means anywhere.
        moments: in any of these; empty means at any time.
        conditions: each of these holds.
        parts: each of these lets the image through.
        all_of: each of these lets the image through.
        any_of: at least one of these does, if there are any.
        none_of: none of these does.
    """

    clusters: tuple[int, ...] = ()
    themes: tuple[int, ...] = ()
    unclustered: bool = False
    places: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()
    conditions: tuple[Condition, ...] = ()
    parts: tuple[ImageFilter, ...] = ()
    all_of: tuple[Where, ...] = ()
    any_of: tuple[Where, ...] = ()
    none_of: tuple[Where, ...] = ()

    def as_filter(self, opened: OpenCollection) -> ImageFilter:
        """What that means with the groupings in force; the caller holds the collection's gate.

        Raises:
            ThemeNotFound: one of the themes is not in force.
            PlaceNotFound: one of the places is not.
            MomentNotFound: one of the moments is not.
        """
        if self == _ANYWHERE:
            return _ANY_IMAGE
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
            conditions=self.conditions,
            all_of=(*self.parts, *(each.as_filter(opened) for each in self.all_of)),
            any_of=tuple(each.as_filter(opened) for each in self.any_of),
            none_of=tuple(each.as_filter(opened) for each in self.none_of),
        )


_ANYWHERE = Where()
_ANY_IMAGE = ImageFilter()


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
            NoModel: a text or a picture, and nobody said which model the collection's vectors come from.
            ReadsNoText: a text, and the collection's model looks at images only.
        """
        model = opened.record.model
        known = model.known
        match query:
            case TextQuery() if not known:
                raise NoModel(opened.id, "a text")
            case ContentQuery() if not known:
                raise NoModel(opened.id, "a picture")
            case TextQuery() if not model.reads_text:
                raise ReadsNoText(model.name)
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

    async def vector_of_terms(self, opened: OpenCollection, terms: Sequence[Term]) -> Vector:
        """Several things at once as a unit vector: their unit vectors, each times its weight, added.

        So the cosine similarity to it orders images as the weighted sum of their similarities to the parts does.

        Raises:
            InvalidField: they cancel one another.
            ShoalError: as :meth:`vector_of`.
        """
        if len(terms) == 1 and terms[0].weight > 0:
            # By far the most queries; a task of its own would cost more than the rest.
            return await self.vector_of(opened, terms[0].query)
        vectors = await asyncio.gather(*(self.vector_of(opened, term.query) for term in terms))
        return _added(vectors, [term.weight for term in terms], "terms")

    async def vector_of_tastes(self, opened: OpenCollection, liked: Sequence[UUID], disliked: Sequence[UUID]) -> Vector:
        """What somebody likes as a unit vector: the mean of the liked images, moved away from that of the disliked.

        It is 2 * mean(liked) - mean(disliked), the average-vector strategy of
        https://qdrant.tech/documentation/concepts/explore/.

        Raises:
            ImageNotFound: one of them is not stored.
            InvalidField: they cancel one another.
        """
        named = [*dict.fromkeys((*liked, *disliked))]
        found = await self._store.get_vectors(opened.id, named)
        for image in named:
            if image not in found:
                raise ImageNotFound(opened.id, str(image))
        vectors = [found[image] for image in (*liked, *disliked)]
        towards = (2 if disliked else 1) / len(liked)
        weights = [towards] * len(liked) + [-1 / max(len(disliked), 1)] * len(disliked)
        return _added(vectors, weights, "liked")

    @staticmethod
    def _unit(opened: OpenCollection, vector: NDArray[np.float32]) -> Vector:
        model = opened.record.model
        if len(vector) != model.dimension:
            raise WrongDimension(len(vector), model.dimension, model.name or "(unknown)")
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if not np.isfinite(norm) or norm == 0:
            raise InvalidField("vector", "must be finite and not all zero")
        return (vector / norm).astype(np.float32)


def _added(vectors: Sequence[Vector], weights: Sequence[float], field: str) -> Vector:
    total = np.asarray(weights, np.float64) @ np.stack(vectors).astype(np.float64)
    norm = float(np.linalg.norm(total))
    if norm < _NOTHING * sum(map(abs, weights)):
        raise InvalidField(field, "they cancel one another, so that nothing is looked for; change the weights")
    unit: Vector = (total / norm).astype(np.float32)
    return unit
