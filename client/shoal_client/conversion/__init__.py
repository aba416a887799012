"""From the API's messages to the client's results and back; the only place that knows both."""

from shoal_client.conversion.clusters import assignment, cluster
from shoal_client.conversion.collections import collection, schedule_message
from shoal_client.conversion.corrections import correction, correction_result, noise_reassignment
from shoal_client.conversion.groupings import moment, place, theme
from shoal_client.conversion.images import image, ingest_result
from shoal_client.conversion.parameters import parameters_message
from shoal_client.conversion.runs import comparison, exported_image, run

__all__ = [
    "assignment",
    "cluster",
    "collection",
    "comparison",
    "correction",
    "correction_result",
    "exported_image",
    "image",
    "ingest_result",
    "moment",
    "noise_reassignment",
    "parameters_message",
    "place",
    "run",
    "schedule_message",
    "theme",
]
