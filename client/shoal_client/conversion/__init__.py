"""From the API's messages to the client's results and back; the only place that knows both."""

from shoal_client.conversion.attributes import attribute_message, attribute_messages, attribute_values
from shoal_client.conversion.changes import assignment_changes
from shoal_client.conversion.clusters import assignment, cluster
from shoal_client.conversion.collections import collection, schedule_message
from shoal_client.conversion.corrections import correction, correction_result, noise_reassignment
from shoal_client.conversion.duplicates import duplicate_group
from shoal_client.conversion.facets import facet_field_message, facets
from shoal_client.conversion.filters import filter_message
from shoal_client.conversion.groupings import moment, place, theme
from shoal_client.conversion.images import image, ingest_result
from shoal_client.conversion.parameters import parameters_message
from shoal_client.conversion.runs import comparison, exported_image, run
from shoal_client.conversion.status import server_status

__all__ = [
    "assignment",
    "assignment_changes",
    "attribute_message",
    "attribute_messages",
    "attribute_values",
    "cluster",
    "collection",
    "comparison",
    "correction",
    "correction_result",
    "duplicate_group",
    "exported_image",
    "facet_field_message",
    "facets",
    "filter_message",
    "image",
    "ingest_result",
    "moment",
    "noise_reassignment",
    "parameters_message",
    "place",
    "run",
    "schedule_message",
    "server_status",
    "theme",
]
