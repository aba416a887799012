"""Filters for qdrant-client: search a Qdrant collection by Shoal's clusters without knowing how they are written.

from qdrant_client import QdrantClient
from shoal_client import Client, qdrant

filter = qdrant.all_of(qdrant.in_theme(Client().collection("holidays"), 3), qdrant.not_in_cluster(17))
QdrantClient("http://localhost:6333").query_points("holidays", vector, query_filter=filter)

Needs the extra ``qdrant``. ``key`` is the payload field that holds the cluster's id; for an attached collection, the
one it was attached with.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING

from shoal_client.async_collection import AsyncCollection
from shoal_client.collection import Collection
from shoal_client.errors import MissingExtra, NotFound
from shoal_client.results import Theme

if TYPE_CHECKING:
    from qdrant_client import models

#: The payload field that Shoal writes.
CLUSTER_ID = "cluster_id"

__all__ = [
    "CLUSTER_ID",
    "all_of",
    "any_of",
    "clustered",
    "in_cluster",
    "in_theme",
    "in_theme_async",
    "not_in_cluster",
    "unclustered",
]


def in_cluster(*clusters: int, key: str = CLUSTER_ID) -> models.Filter:
    """Points in any of these clusters; without any, none at all.

    Raises:
        MissingExtra: qdrant-client is not installed.
    """
    return _filter(must=[_any_of_clusters(clusters, key)])


def not_in_cluster(*clusters: int, key: str = CLUSTER_ID) -> models.Filter:
    """Points in none of these clusters, those in no cluster among them. Raises as :func:`in_cluster`."""
    return _filter(must_not=[_any_of_clusters(clusters, key)])


def unclustered(key: str = CLUSTER_ID) -> models.Filter:
    """Points in no cluster. Raises as :func:`in_cluster`."""
    return _filter(must=[_empty(key)])


def clustered(key: str = CLUSTER_ID) -> models.Filter:
    """Points in any cluster. Raises as :func:`in_cluster`."""
    return _filter(must_not=[_empty(key)])


def in_theme(collection: Collection, *themes: int, key: str = CLUSTER_ID) -> models.Filter:
    """Points in the clusters below any of these themes, as they are at the moment; Shoal is asked.

    Args:
        collection: of Shoal.
        themes: ids.
        key: of the payload.

    Raises:
        NotFound: there is no such theme, or no such collection.
        MissingExtra: qdrant-client is not installed.
    """
    _models()
    return in_cluster(*_clusters_below(collection.id, collection.themes(), themes), key=key)


async def in_theme_async(collection: AsyncCollection, *themes: int, key: str = CLUSTER_ID) -> models.Filter:
    """See :func:`in_theme`."""
    _models()
    return in_cluster(*_clusters_below(collection.id, await collection.themes(), themes), key=key)


def all_of(*filters: models.Filter | None) -> models.Filter:
    """Points that all of these let through; None lets everything through. Raises as :func:`in_cluster`."""
    return _filter(must=[each for each in filters if each is not None])


def any_of(*filters: models.Filter) -> models.Filter:
    """Points that any of these lets through; without any, all. Raises as :func:`in_cluster`."""
    return _filter(should=filters)


def _clusters_below(collection: str, known: Iterable[Theme], wanted: Iterable[int]) -> list[int]:
    below = {theme.id: theme.clusters for theme in known}
    found: set[int] = set()
    for theme in wanted:
        if theme not in below:
            raise NotFound(
                f"there is no theme {theme} in collection {collection!r}; `shoal themes` lists those that there are",
                reason="THEME_NOT_FOUND",
                metadata={"collection": collection, "theme": str(theme)},
            )
        found.update(below[theme])
    return sorted(found)


def _any_of_clusters(clusters: Iterable[int], key: str) -> models.FieldCondition:
    module = _models()
    condition: models.FieldCondition = module.FieldCondition(key=key, match=module.MatchAny(any=list(clusters)))
    return condition


def _empty(key: str) -> models.IsEmptyCondition:
    module = _models()
    condition: models.IsEmptyCondition = module.IsEmptyCondition(is_empty=module.PayloadField(key=key))
    return condition


def _filter(**conditions: Iterable[models.Condition]) -> models.Filter:
    made: models.Filter = _models().Filter(**{kind: list(each) for kind, each in conditions.items()})
    return made


def _models() -> ModuleType:
    """Imported when it is needed: the base install leaves it out, and importing it takes half a second."""
    try:
        from qdrant_client import models
    except ImportError as error:
        raise MissingExtra(
            "filters for Qdrant need qdrant-client: pip install 'shoal[qdrant]'",
            reason="MISSING_EXTRA",
            metadata={"extra": "qdrant", "package": "qdrant-client"},
        ) from error
    return models
