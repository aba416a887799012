"""One flat row an image."""

from __future__ import annotations

from typing import Any

from shoal_client.results import ExportedImage

#: The columns, in their order; programs rely on them.
COLUMNS: tuple[str, ...] = (
    "image_id", "uri", "cluster_id", "cluster_name", "strength", "x", "y", "sha256", "tags", "captured_at", "lat",
    "lon", "place_id", "moment_id", "camera_make", "camera_model", "lens", "iso", "f_number", "exposure_s",
    "focal_length_mm", "orientation", "width", "height", "format", "byte_size", "ingested_at",
)  # fmt: skip


def row(exported: ExportedImage) -> dict[str, Any]:
    """An image with its cluster and all its metadata, by column; None: not known, or in no cluster."""
    image = exported.image
    metadata = image.metadata
    location = metadata.location
    return {
        "image_id": image.id,
        "uri": image.uri,
        "cluster_id": exported.cluster_id,
        "cluster_name": exported.cluster_name,
        "strength": exported.strength,
        "x": exported.x,
        "y": exported.y,
        "sha256": image.sha256,
        "tags": list(image.tags),
        "captured_at": metadata.captured_at,
        "lat": None if location is None else location.lat,
        "lon": None if location is None else location.lon,
        "place_id": image.place_id,
        "moment_id": image.moment_id,
        "camera_make": metadata.camera_make,
        "camera_model": metadata.camera_model,
        "lens": metadata.lens,
        "iso": metadata.iso,
        "f_number": metadata.f_number,
        "exposure_s": metadata.exposure_s,
        "focal_length_mm": metadata.focal_length_mm,
        "orientation": metadata.orientation,
        "width": metadata.width,
        "height": metadata.height,
        "format": metadata.format,
        "byte_size": metadata.byte_size,
        "ingested_at": image.ingested_at,
    }
