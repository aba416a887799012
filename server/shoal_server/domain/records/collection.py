"""Collections and their schedules as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from shoal_server.domain.attachment import Attachment, Distance
from shoal_server.domain.collection import Collection, EmbeddingModel, Precision
from shoal_server.domain.records.values import Record, optional_iso, optional_time
from shoal_server.domain.schedule import Schedule


def collection_to_record(collection: Collection) -> Record:
    """A collection as JSON values."""
    return {
        "id": collection.id,
        "model": {**asdict(collection.model), "precision": collection.model.precision.value},
        "created_at": collection.created_at.isoformat(),
        "active_run": collection.active_run,
        "activating_run": collection.activating_run,
        "next_cluster_id": int(collection.next_cluster_id),
        "next_theme_id": int(collection.next_theme_id),
        "next_place_id": int(collection.next_place_id),
        "next_moment_id": int(collection.next_moment_id),
        "schedule": None if collection.schedule is None else _schedule_to_record(collection.schedule),
        "attachment": None if collection.attachment is None else _attachment_to_record(collection.attachment),
        "version": int(collection.version),
        "clusters_version": int(collection.clusters_version),
    }


def collection_from_record(record: Mapping[str, Any]) -> Collection:
    """The inverse of :func:`collection_to_record`."""
    model, schedule, attachment = record["model"], record.get("schedule"), record.get("attachment")
    return Collection(
        id=record["id"],
        model=EmbeddingModel(
            name=model["name"],
            digest=model["digest"],
            dimension=int(model["dimension"]),
            precision=Precision(model.get("precision", Precision.FP32.value)),
            reads_text=bool(model.get("reads_text", True)),
        ),
        created_at=datetime.fromisoformat(record["created_at"]),
        active_run=record["active_run"],
        activating_run=record["activating_run"],
        next_cluster_id=int(record["next_cluster_id"]),
        next_theme_id=int(record.get("next_theme_id", 1)),
        next_place_id=int(record.get("next_place_id", 1)),
        next_moment_id=int(record.get("next_moment_id", 1)),
        schedule=None if schedule is None else _schedule_from_record(schedule),
        attachment=None if attachment is None else _attachment_from_record(attachment),
        version=int(record.get("version", 0)),
        clusters_version=int(record.get("clusters_version", 0)),
    )


def _attachment_to_record(attachment: Attachment) -> Record:
    return {**asdict(attachment), "distance": attachment.distance.value}


def _attachment_from_record(record: Mapping[str, Any]) -> Attachment:
    return Attachment(
        source=record["source"],
        vector=record["vector"],
        distance=Distance(record["distance"]),
        payload_key=record["payload_key"],
        where=record["where"],
        made_index=record["made_index"],
    )


def _schedule_to_record(schedule: Schedule) -> Record:
    return {
        "enabled": schedule.enabled,
        "interval_s": None if schedule.interval is None else schedule.interval.total_seconds(),
        "growth": None if schedule.growth is None else float(schedule.growth),
        "quiet_from": optional_iso(schedule.quiet_from),
        "quiet_to": optional_iso(schedule.quiet_to),
        "timezone": schedule.timezone,
    }


def _schedule_from_record(record: Mapping[str, Any]) -> Schedule:
    interval_s, growth = record["interval_s"], record["growth"]
    return Schedule(
        enabled=record["enabled"],
        interval=None if interval_s is None else timedelta(seconds=interval_s),
        growth=None if growth is None else float(growth),
        quiet_from=optional_time(record["quiet_from"]),
        quiet_to=optional_time(record["quiet_to"]),
        timezone=record["timezone"],
    )
