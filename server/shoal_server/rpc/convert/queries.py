"""What a search looks for."""

from __future__ import annotations

import math
from typing import TypeAlias
from uuid import UUID

import numpy as np

from shoal.v1 import cluster_service_pb2, image_pb2, image_service_pb2
from shoal_server.application.queries import ContentQuery, ImageQuery, Query, Term, TextQuery, VectorQuery
from shoal_server.domain.errors import InvalidField
from shoal_server.rpc.convert.values import id_within, ids_within
from shoal_server.rpc.resource_names import parse_image

MAX_TERMS = 32
MAX_WEIGHT = 10
MAX_TASTES = 100

SearchRequest: TypeAlias = image_service_pb2.SearchImagesRequest | cluster_service_pb2.SearchClustersRequest


def query_of(
    collection_id: str, request: SearchRequest | cluster_service_pb2.AssignImageRequest | image_pb2.QueryTerm
) -> Query:
    """What to look for, or what to assign.

    Raises:
        InvalidField: nothing is given.
        InvalidName: the image is not one of this collection.
    """
    if isinstance(request, cluster_service_pb2.AssignImageRequest):
        if request.WhichOneof("image") is None:
            raise InvalidField("image", "is missing; give an image's bytes, an image's name or a vector")
    elif request.WhichOneof("query") is None:
        raise InvalidField("query", "is missing; give a text, an image's bytes, an image's name or a vector")
    elif request.HasField("text"):
        return TextQuery(request.text)
    if request.HasField("image_content"):
        return ContentQuery(request.image_content)
    if request.HasField("image_name"):
        return ImageQuery(id_within(collection_id, parse_image, request.image_name))
    return VectorQuery(np.array(request.vector.values, dtype=np.float32))


def terms_of(collection_id: str, request: SearchRequest) -> tuple[Term, ...]:
    """All that a search looks for.

    Raises:
        InvalidField: nothing is given, or both a query and terms, too many terms, or a weight that is none.
        InvalidName: an image is not one of this collection.
    """
    if not request.terms:
        return (Term(query_of(collection_id, request)),)
    if request.WhichOneof("query") is not None:
        raise InvalidField("terms", "there is a query as well; make it one of the terms")
    if len(request.terms) > MAX_TERMS:
        raise InvalidField("terms", f"{len(request.terms)} terms; at most {MAX_TERMS} are looked for at once")
    terms = tuple(Term(query_of(collection_id, each), _weight(each)) for each in request.terms)
    if all(term.weight < 0 for term in terms):
        raise InvalidField("terms", "all weights are below 0; say as well what to look for")
    return terms


def tastes_of(
    collection_id: str, request: image_service_pb2.RecommendImagesRequest
) -> tuple[tuple[UUID, ...], tuple[UUID, ...]]:
    """The liked and the disliked images.

    Raises:
        InvalidField: none are liked, there are too many, or one is liked and disliked.
        InvalidName: an image is not one of this collection.
    """
    liked, disliked = (
        tuple(dict.fromkeys(ids_within(collection_id, parse_image, names)))
        for names in (request.liked, request.disliked)
    )
    if not liked:
        raise InvalidField("liked", "is empty; name at least one image")
    for field, images in (("liked", liked), ("disliked", disliked)):
        if len(images) > MAX_TASTES:
            raise InvalidField(field, f"{len(images)} images; at most {MAX_TASTES} are taken")
    if both := set(liked) & set(disliked):
        raise InvalidField("disliked", f"{min(map(str, both))} is liked as well")
    return liked, disliked


def diversity_of(request: image_service_pb2.SearchImagesRequest | image_service_pb2.RecommendImagesRequest) -> float:
    """Raises:
    InvalidField: it is not within 0 and 1.
    """
    if not 0 <= request.diversity <= 1:
        raise InvalidField("diversity", f"{request.diversity:g} is not within 0 and 1")
    return request.diversity


def threshold_of(
    request: image_service_pb2.SearchImagesRequest | image_service_pb2.RecommendImagesRequest,
) -> float | None:
    """The least score to answer with; None for any.

    Raises:
        InvalidField: it is not within -1 and 1, or not a number.
    """
    if not request.HasField("score_threshold"):
        return None
    if not -1 <= request.score_threshold <= 1:
        raise InvalidField(
            "score_threshold", f"{request.score_threshold:g} is not within -1 and 1; leave it out for any score"
        )
    return request.score_threshold


def _weight(term: image_pb2.QueryTerm) -> float:
    weight = term.weight if term.HasField("weight") else 1.0
    if weight == 0 or not math.isfinite(weight) or abs(weight) > MAX_WEIGHT:
        raise InvalidField("terms.weight", f"{weight:g} is not within -{MAX_WEIGHT} and {MAX_WEIGHT}, or 0")
    return weight
