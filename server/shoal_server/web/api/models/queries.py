"""What a search looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import numpy as np
from pydantic import Base64Bytes, Field

from shoal_server.application import queries
from shoal_server.application.queries import ContentQuery, ImageQuery, Query, Term, TextQuery, VectorQuery
from shoal_server.application.search import ScoredCluster
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.image import ScoredImage
from shoal_server.web.api.models.base import Asked, Told
from shoal_server.web.api.models.clusters import Cluster
from shoal_server.web.api.models.filters import Filter
from shoal_server.web.api.models.images import Image


class Picture(Asked):
    """An image: a file's bytes in Base64, a stored image by its id, or its embedding; one of them."""

    image_base64: Base64Bytes | None = None
    image: UUID | None = None
    vector: Annotated[list[float], Field(min_length=1, max_length=65_536)] | None = None

    def given(self) -> list[Query]:
        """All that is given."""
        found: list[Query] = []
        if self.image_base64 is not None:
            found.append(ContentQuery(self.image_base64))
        if self.image is not None:
            found.append(ImageQuery(self.image))
        if self.vector is not None:
            found.append(VectorQuery(np.array(self.vector, np.float32)))
        return found

    def query(self) -> Query:
        """For the use case.

        Raises:
            InvalidField: not exactly one is given.
        """
        return _one(self.given(), "image", "give an image's bytes, an image's id or a vector")


class Sought(Picture):
    """Something to look for: a text, or an image."""

    text: str | None = None

    def given(self) -> list[Query]:
        """All that is given."""
        return [*([] if self.text is None else [TextQuery(self.text)]), *super().given()]

    def query(self) -> Query:
        """For the use case.

        Raises:
            InvalidField: not exactly one is given.
        """
        return _one(self.given(), "query", "give a text, an image's bytes, an image's id or a vector")


class WeightedTerm(Sought):
    """One of several things to look for; what has a negative weight is to be unlike."""

    weight: float = 1.0


class ClusterSearch(Sought):
    """A search among clusters."""

    terms: tuple[WeightedTerm, ...] = ()
    where: Filter | None = None
    page_size: Annotated[int, Field(ge=0)] = 0
    page_token: str = ""

    def sought(self) -> tuple[Term, ...]:
        """All that is looked for.

        Raises:
            InvalidField: nothing is, or both a query and terms, or a weight is none.
        """
        if not self.terms:
            return (Term(self.query()),)
        if self.given():
            raise InvalidField("terms", "there is a query as well; make it one of the terms")
        return queries.check_terms([Term(each.query(), each.weight) for each in self.terms])


class ImageSearch(ClusterSearch):
    """A search among images: for a query, for several terms, or for what is like some images and unlike others."""

    liked: tuple[UUID, ...] = ()
    disliked: tuple[UUID, ...] = ()
    score_threshold: float | None = None
    diversity: float = 0.0

    def tastes(self) -> tuple[tuple[UUID, ...], tuple[UUID, ...]] | None:
        """The liked and the disliked images; None if something else is looked for.

        Raises:
            InvalidField: there is a query as well, or they make no sense.
        """
        if not self.liked and not self.disliked:
            return None
        if self.given() or self.terms:
            raise InvalidField("liked", "there is a query as well; give one of them")
        return queries.check_tastes(self.liked, self.disliked)


class ImageResult(Told):
    """An image and its cosine similarity to what was looked for."""

    image: Image
    score: float

    @classmethod
    def of(cls, scored: ScoredImage) -> ImageResult:
        """From what was found."""
        return cls(image=Image.of(scored.image), score=scored.score)


class ImageResults(Told):
    """A page of images, best first."""

    results: list[ImageResult]
    next_page_token: str = ""


class ClusterResult(Told):
    """A cluster, the similarity of its centroid to what was looked for, and how many of its images were asked about."""

    cluster: Cluster
    score: float
    matching: int

    @classmethod
    def of(cls, scored: ScoredCluster) -> ClusterResult:
        """From what was found."""
        return cls(cluster=Cluster.described(scored.cluster, scored.size), score=scored.score, matching=scored.matching)


class ClusterResults(Told):
    """A page of clusters, best first."""

    results: list[ClusterResult]
    next_page_token: str = ""


def _one(given: Sequence[Query], field: str, advice: str) -> Query:
    if len(given) != 1:
        raise InvalidField(field, f"is missing; {advice}" if not given else f"is given {len(given)} times; {advice}")
    return given[0]
