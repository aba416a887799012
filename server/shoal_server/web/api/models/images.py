"""Images."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from shoal_server.application.facets import Facet, FacetField, Facets
from shoal_server.application.geotags import Geotags
from shoal_server.application.images import Changes
from shoal_server.application.ingest import Ingested
from shoal_server.application.timeline import Timeline
from shoal_server.domain import image as domain
from shoal_server.web.api.models.base import Asked, Told, moment
from shoal_server.web.api.models.filters import Filter

#: What people may say of an image.
Attribute = Annotated[StrictBool | StrictInt | StrictFloat | StrictStr, Field(union_mode="left_to_right")]


class LatLng(Told):
    """WGS 84 degrees."""

    latitude: float
    longitude: float

    @classmethod
    def of(cls, location: domain.Location) -> LatLng:
        """From where it is."""
        return cls(latitude=location.lat, longitude=location.lon)


class Metadata(Told):
    """What was read from the file; null: it does not say."""

    width: int
    height: int
    format: str
    byte_size: int
    orientation: int | None
    captured_at: str | None
    local_time: bool
    location: LatLng | None
    camera_make: str | None
    camera_model: str | None
    lens: str | None
    iso: int | None
    f_number: float | None
    exposure_s: float | None
    focal_length_mm: float | None
    altitude_m: float | None
    frame_count: int

    @classmethod
    def of(cls, read: domain.Metadata) -> Metadata:
        """From what was read."""
        return cls(
            width=read.width,
            height=read.height,
            format=read.format,
            byte_size=read.byte_size,
            orientation=read.orientation,
            captured_at=read.captured_at,
            local_time=read.local_time,
            location=None if read.location is None else LatLng.of(read.location),
            camera_make=read.camera_make,
            camera_model=read.camera_model,
            lens=read.lens,
            iso=read.iso,
            f_number=read.f_number,
            exposure_s=read.exposure_s,
            focal_length_mm=read.focal_length_mm,
            altitude_m=read.altitude_m,
            frame_count=read.frame_count,
        )


class Image(Told):
    """A stored image; ``cluster``, ``place`` and ``moment`` are null where it is in none."""

    id: UUID
    sha256: str
    uri: str
    tags: list[str]
    cluster: int | None
    place: int | None
    moment: int | None
    metadata: Metadata
    ingest_time: datetime
    also_at: list[str]
    attributes: dict[str, Attribute]
    phash: str | None

    @classmethod
    def of(cls, stored: domain.Image) -> Image:
        """From what is stored."""
        return cls(
            id=stored.id,
            sha256=stored.sha256,
            uri=stored.uri,
            tags=list(stored.tags),
            cluster=stored.cluster_id,
            place=stored.place_id,
            moment=stored.moment_id,
            metadata=Metadata.of(stored.metadata),
            ingest_time=moment(stored.ingested_at) or stored.ingested_at,
            also_at=list(stored.also_at),
            attributes=dict(stored.attributes),
            phash=stored.phash,
        )


class ImageList(Told):
    """A page of images."""

    images: list[Image]
    next_page_token: str = ""


class Named(Asked):
    """Images by their ids."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)]


class Digests(Asked):
    """Files by the SHA-256 of their bytes, in hexadecimal."""

    sha256s: Annotated[list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]], Field(max_length=1000)]


class Stored(Told):
    """Those of the files that are stored."""

    stored: list[str]


class Created(Told):
    """What became of an image; ``near_duplicate_of`` is the image that it looks like, if the server looks for those."""

    image: Image
    duplicate: bool
    near_duplicate_of: UUID | None

    @classmethod
    def of(cls, ingested: Ingested) -> Created:
        """From what became of it."""
        return cls(
            image=Image.of(ingested.image),
            duplicate=ingested.duplicate,
            near_duplicate_of=ingested.near_duplicate_of,
        )


class ImageChanges(Asked):
    """New values of what people say of an image; what is left out stays."""

    uri: str | None = None
    tags: list[str] | None = None
    attributes: dict[str, Attribute] | None = None

    def changes(self) -> Changes:
        """For the use case."""
        return Changes(self.uri, None if self.tags is None else tuple(self.tags), self.attributes)


FacetName = Literal["camera", "camera_make", "lens", "year", "cluster", "tag", "format", "place", "moment"]


class FacetRequest(Asked):
    """What to count by, and which images."""

    fields: Annotated[list[FacetName], Field(min_length=1, max_length=9)]
    where: Filter | None = None
    limit: Annotated[int, Field(ge=0)] = 0

    def facet_fields(self) -> tuple[FacetField, ...]:
        """For the use case, each once."""
        return tuple(FacetField[name.upper()] for name in dict.fromkeys(self.fields))


class Count(Told):
    """How many images have a value: a word, a year, or the id of a cluster, place or moment."""

    value: str | int
    display_name: str
    count: int


class FacetCounts(Told):
    """Counts by one field, most frequent first; ``without`` have no value there."""

    field: FacetName
    counts: list[Count]
    without: int

    @classmethod
    def of(cls, facet: Facet) -> FacetCounts:
        """From what was counted."""
        name: FacetName = facet.field.name.lower()  # type: ignore[assignment]  # the enum has the same names
        return cls(
            field=name,
            counts=[Count(value=each.value, display_name=each.name, count=each.images) for each in facet.counts],
            without=facet.without,
        )


class FacetAnswer(Told):
    """Counts by several fields, and of all images that were asked about."""

    facets: list[FacetCounts]
    total: int

    @classmethod
    def of(cls, counted: Facets) -> FacetAnswer:
        """From what was counted."""
        return cls(facets=[FacetCounts.of(each) for each in counted.facets], total=counted.total)


class Among(Asked):
    """Which images."""

    where: Filter | None = None


class Bucket(Told):
    """Images taken in one stretch of time; ``start`` is a year, a month or a day."""

    start: str
    count: int


class TimelineAnswer(Told):
    """When images were taken, as their cameras' clocks showed it, without the stretches in which none were."""

    unit: Literal["year", "month", "day"]
    buckets: list[Bucket]
    without: int

    @classmethod
    def of(cls, timeline: Timeline) -> TimelineAnswer:
        """From what was counted."""
        return cls(
            unit=timeline.unit.value,
            buckets=[Bucket(start=start, count=count) for start, count in timeline.counts],
            without=timeline.without,
        )


class LocationRequest(Asked):
    """Which images, and how many positions at most."""

    where: Filter | None = None
    limit: Annotated[int, Field(ge=0, le=10_000)] = 0


class Located(Told):
    """Where an image was taken."""

    image: UUID
    latitude: float
    longitude: float


class LocationAnswer(Told):
    """Positions of images, and how many of those asked about have one."""

    locations: list[Located]
    total: int

    @classmethod
    def of(cls, found: Geotags) -> LocationAnswer:
        """From what was found."""
        return cls(
            locations=[
                Located(image=image, latitude=location.lat, longitude=location.lon)
                for image, location in found.positions
            ],
            total=found.total,
        )
