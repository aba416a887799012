"""Where the points of a collection stand, and in what form: Shoal's own, or as somebody else made them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from shoal_server.adapters.qdrant_store import foreign_payload, points
from shoal_server.adapters.qdrant_store.filters import to_filter
from shoal_server.application.ports import StoredVectors
from shoal_server.domain.attachment import Attachment, Distance
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import StoreIncompatible
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, Vector
from shoal_server.domain.payload import ATTRIBUTES, CAPTURED_AT, CLUSTER_ID, MOMENT_ID, PLACE_ID
from shoal_server.domain.point_ids import image_of_point, point_of_image

Point = models.Record | models.ScoredPoint

#: What Qdrant calls the vector without a name.
_UNNAMED = ""


class Layout(Protocol):
    """How images and vectors of one collection stand in Qdrant.

    Attributes:
        source: name of the Qdrant collection with the points.
        using: name of the vector; None for the unnamed one.
        scanned: what a scan reads of a point's payload.
        vectors: what reads that vector.
        cosine: whether the server compares the vectors by cosine.
        own: whether Shoal made it.
    """

    @property
    def source(self) -> str: ...
    @property
    def using(self) -> str | None: ...
    @property
    def scanned(self) -> Sequence[str]: ...
    @property
    def vectors(self) -> bool | list[str]: ...
    @property
    def cosine(self) -> bool: ...
    @property
    def own(self) -> bool: ...

    def key(self, field: str) -> str | None:
        """The payload's key of one of the contract's fields; None if no point can have it."""
        ...

    def point_id(self, image: UUID) -> int | str:
        """The id of an image's point."""
        ...

    def image_id(self, point: int | str | UUID) -> UUID:
        """The id of the image that a point is."""
        ...

    def where(self, where: ImageFilter) -> models.Filter | None:
        """A filter that only lets points through that are images; None if every point is meant."""
        ...

    def to_image(self, point: Point) -> Image:
        """The image of a point that was read with its payload."""
        ...

    def to_vector(self, point: Point) -> Vector | None:
        """The unit vector of a point that was read with it; None if it has none, or one without a direction."""
        ...

    def check_vectors(self, dimension: int, vectors: Sequence[Vector] | NDArray[np.float32]) -> None:
        """Makes sure that vectors, all from one collection, are as long as those that there were."""
        ...

    def cluster_ids(self, found: Sequence[Point]) -> NDArray[np.int64]:
        """The clusters of points, int64 (n,), -1 for none."""
        ...

    def to_stretch(self, found: Sequence[models.Record], with_vectors: bool) -> StoredVectors:
        """Points that were read with :attr:`scanned`; those that have to have a vector and have none are left out."""
        ...


class OwnLayout:
    """A collection that Shoal made: the unnamed vector, of unit length, and the payload contract."""

    def __init__(self, collection: str) -> None:
        self.source = collection
        self.using: str | None = None
        self.scanned: Sequence[str] = points.SCANNED
        self.vectors: bool | list[str] = True
        self.cosine = True
        self.own = True

    def key(self, field: str) -> str | None:
        """Its name."""
        return field

    def point_id(self, image: UUID) -> int | str:
        """The same."""
        return str(image)

    def image_id(self, point: int | str | UUID) -> UUID:
        """The same."""
        return UUID(str(point))

    def where(self, where: ImageFilter) -> models.Filter | None:
        """The filter alone: every point is an image."""
        return to_filter(where)

    def to_image(self, point: Point) -> Image:
        """As the contract has it."""
        return points.to_image(point)

    def to_vector(self, point: Point) -> Vector | None:
        """As it is stored."""
        return points.to_vector(point)

    def check_vectors(self, dimension: int, vectors: Sequence[Vector] | NDArray[np.float32]) -> None:
        """The server has done so."""

    def cluster_ids(self, found: Sequence[Point]) -> NDArray[np.int64]:
        """As the contract has them."""
        return points.group_ids(found, CLUSTER_ID)

    def to_stretch(self, found: Sequence[models.Record], with_vectors: bool) -> StoredVectors:
        """As the contract has it."""
        return points.to_stretch(found, with_vectors)


class AttachedLayout:
    """A collection that somebody else owns: any payload, of which one key is Shoal's, and any vector, named or not."""

    def __init__(self, attachment: Attachment, attached_at: datetime) -> None:
        self.source = attachment.source
        self.using: str | None = attachment.vector or None
        self.scanned: Sequence[str] = [attachment.payload_key, CAPTURED_AT, "location"]
        self.vectors: bool | list[str] = [attachment.vector] if attachment.vector else True
        self.cosine = attachment.distance is Distance.COSINE
        self.own = False
        self._payload_key = attachment.payload_key
        self._attached_at = attached_at
        self._belongs: list[models.Condition] = [models.HasVectorCondition(has_vector=attachment.vector)]
        if attachment.where:
            self._belongs.append(models.Filter.model_validate_json(attachment.where))

    def key(self, field: str) -> str | None:
        """The owner's top-level fields stand for attributes; places and moments are never written."""
        if field == CLUSTER_ID:
            return self._payload_key
        if field in (PLACE_ID, MOMENT_ID):
            return None
        return field.removeprefix(f"{ATTRIBUTES}.")

    def point_id(self, image: UUID) -> int | str:
        """As its owner knows it."""
        return point_of_image(image)

    def image_id(self, point: int | str | UUID) -> UUID:
        """As Shoal knows it."""
        return image_of_point(point if isinstance(point, int) else str(point))

    def where(self, where: ImageFilter) -> models.Filter | None:
        """Those that have the vector and belong, as the attachment says."""
        asked = to_filter(where, self)
        return models.Filter(must=[*self._belongs, *([] if asked is None else [asked])])

    def to_image(self, point: Point) -> Image:
        """As far as the owner's payload says something of an image."""
        return foreign_payload.to_image(
            self.image_id(point.id), point.payload or {}, self._payload_key, self._attached_at
        )

    def to_vector(self, point: Point) -> Vector | None:
        """Whatever its length was."""
        raw = raw_vector(point, self.using)
        if raw is None:
            return None
        norm = float(np.linalg.norm(raw))
        return (raw / norm).astype(np.float32) if norm > 0 and np.isfinite(norm) else None

    def check_vectors(self, dimension: int, vectors: Sequence[Vector] | NDArray[np.float32]) -> None:
        """Refuses what the owner has put in the place of the vectors that there were.

        Raises:
            StoreIncompatible: they have another number of dimensions.
        """
        if len(vectors) and len(vectors[0]) != dimension:
            raise StoreIncompatible(
                f"the vectors of the Qdrant collection {self.source!r} have {len(vectors[0])} dimensions, and had "
                f"{dimension} when it was attached; detach it, and attach it again"
            )

    def cluster_ids(self, found: Sequence[Point]) -> NDArray[np.int64]:
        """From the attachment's key; what is no id there counts as none."""
        return np.array([self._cluster_id(point.payload or {}) for point in found], dtype=np.int64)

    def to_stretch(self, found: Sequence[models.Record], with_vectors: bool) -> StoredVectors:
        """Without places and moments, which are never written."""
        vectors: Sequence[Vector] = [np.zeros(0, np.float32)] * len(found)
        if with_vectors:
            read = [(point, vector) for point in found if (vector := self.to_vector(point)) is not None]
            found, vectors = [point for point, _ in read], [vector for _, vector in read]
        payloads = [point.payload or {} for point in found]
        none = np.full(len(found), NOISE, dtype=np.int64)
        return StoredVectors(
            ids=[self.image_id(point.id) for point in found],
            cluster_ids=self.cluster_ids(found),
            place_ids=none,
            moment_ids=none,
            captured_at=[foreign_payload.to_time(each.get(CAPTURED_AT)) for each in payloads],
            locations=[foreign_payload.to_location(each.get("location")) for each in payloads],
            vectors=np.array(vectors, dtype=np.float32).reshape(len(found), -1 if found else 0),
        )

    def _cluster_id(self, fields: Mapping[str, Any]) -> int:
        cluster_id = foreign_payload.to_cluster_id(fields.get(self._payload_key))
        return NOISE if cluster_id is None else cluster_id


def layout_of(record: Collection) -> Layout:
    """The layout of a collection's points."""
    if record.attachment is None:
        return OwnLayout(record.id)
    return _attached_layout(record.attachment, record.created_at)


def raw_vector(point: Point, using: str | None) -> NDArray[np.float64] | None:
    """One of the vectors of a point that was read with it, as it is stored; None if the point has not got it."""
    found: Any = point.vector
    if isinstance(found, Mapping):
        found = found.get(using or _UNNAMED)
    return None if found is None or not len(found) else np.asarray(found, dtype=np.float64)


@functools.lru_cache(maxsize=1024)
def _attached_layout(attachment: Attachment, attached_at: datetime) -> AttachedLayout:
    return AttachedLayout(attachment, attached_at)
