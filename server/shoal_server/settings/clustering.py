"""When and how collections are clustered, and what clusters are called."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.run import ClusteringDevice
from shoal_server.domain.schedule import MAX_GROWTH, MAX_INTERVAL, MIN_INTERVAL, Schedule, parse_quiet_hours
from shoal_server.settings.words import none_if_said


class Clustering(BaseSettings):
    """When and how collections are clustered, and what clusters are called."""

    vocabulary: Annotated[
        Path | None, Field(description="File of the words that clusters are named with; without one, Shoal's own.")
    ] = None
    captioner: Annotated[
        str | None,
        Field(
            description="Model that suggests names for clusters from what their typical images show: a BLIP model's "
            "folder or its name on the hub (`Salesforce/blip-image-captioning-base`); needs the extra `captions`."
        ),
    ] = None
    recluster_automatically: Annotated[
        bool,
        Field(description="Cluster by itself, as the next four say, each collection that has no schedule of its own."),
    ] = True
    recluster_interval_h: Annotated[
        float | None,
        Field(description="Hours after a run until the next one, if images came or went since; `none`: no such run."),
    ] = 24.0
    recluster_growth: Annotated[
        float | None,
        Field(
            description="Share by which the number of images changes until the next run, 0.2 being 20 %; `none`: no "
            "such run."
        ),
    ] = 0.2
    recluster_quiet_hours: Annotated[
        str | None, Field(description="No run begins by itself at these times of day, for instance `08:00-18:00`.")
    ] = None
    recluster_timezone: Annotated[
        str, Field(description="Timezone of the quiet hours, for instance `Europe/Berlin`.")
    ] = "UTC"
    sample_above: Annotated[
        int,
        Field(
            ge=100,
            description="Images of a collection that are clustered together at most; where there are more, a sample of "
            "them is, and the others are assigned to what was found by a vote of their neighbours in it.",
        ),
    ] = 200_000
    sample_size: Annotated[
        int,
        Field(ge=100, description="Images of that sample; more take more time and memory, and find smaller groups."),
    ] = 50_000
    search_components: Annotated[
        int | None,
        Field(
            ge=8,
            description="Principal components that vectors are reduced to before their neighbours are looked for; "
            "fewer are quicker and miss more of them; `none`: the vectors as they are.",
        ),
    ] = None
    clustering_device: Annotated[
        ClusteringDevice,
        Field(
            description="Where neighbours are looked for, dimensions reduced and groups found: `cpu`; `gpu`, by cuML, "
            "which needs the extra `cuml`; `auto`: a GPU if there is one and the extra is installed."
        ),
    ] = ClusteringDevice.CPU
    warm_clustering: Annotated[
        bool,
        Field(
            description="Keep the process that clusters ready from the start, so that no run waits for it; `false` "
            "saves its memory on servers that cluster seldom."
        ),
    ] = True
    keep_runs: Annotated[
        int,
        Field(
            ge=1, description="Runs of each collection that are kept with all their files; the active one always is."
        ),
    ] = 20

    @field_validator(
        "recluster_interval_h", "recluster_growth", "recluster_quiet_hours", "search_components", mode="before"
    )
    @classmethod
    def _none_is_never(cls, value: object) -> object:
        return none_if_said(value)

    @field_validator("recluster_interval_h")
    @classmethod
    def _is_an_interval(cls, value: float | None) -> float | None:
        low, high = MIN_INTERVAL / timedelta(hours=1), MAX_INTERVAL / timedelta(hours=1)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{value:g} hours are not in 1 minute to {MAX_INTERVAL.days} days; or write none")
        return value

    @field_validator("recluster_growth")
    @classmethod
    def _is_a_share(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value <= MAX_GROWTH:
            raise ValueError(f"{value:g} is not above 0 and at most {MAX_GROWTH:g}, for instance 0.2; or write none")
        return value

    @field_validator("recluster_quiet_hours")
    @classmethod
    def _are_hours(cls, value: str | None) -> str | None:
        if value is not None:
            _told_as_value_error(lambda: parse_quiet_hours(value))
        return value

    @field_validator("recluster_timezone")
    @classmethod
    def _is_a_timezone(cls, value: str) -> str:
        _told_as_value_error(Schedule(timezone=value).check)
        return value

    @property
    def default_schedule(self) -> Schedule:
        """The schedule of collections that have none of their own."""
        hours = None if self.recluster_quiet_hours is None else parse_quiet_hours(self.recluster_quiet_hours)
        quiet_from, quiet_to = hours or (None, None)
        return Schedule(
            enabled=self.recluster_automatically,
            interval=None if self.recluster_interval_h is None else timedelta(hours=self.recluster_interval_h),
            growth=self.recluster_growth,
            quiet_from=quiet_from,
            quiet_to=quiet_to,
            timezone=self.recluster_timezone,
        )


def _told_as_value_error(check: Callable[[], object]) -> None:
    """The settings' own name stands before the message; the field's of a request would only confuse."""
    try:
        check()
    except InvalidField as error:
        raise ValueError(error.message.removeprefix(f"{error.metadata['field']}: ")) from error
