"""Between the domain and protobuf, both ways: a module for each resource."""

from shoal_server.rpc.convert.clusters import assignment, cluster
from shoal_server.rpc.convert.collections import collection
from shoal_server.rpc.convert.corrections import correction, proposal
from shoal_server.rpc.convert.facets import facet_fields, facets
from shoal_server.rpc.convert.filters import image_filter
from shoal_server.rpc.convert.groupings import moment, place, theme
from shoal_server.rpc.convert.history import comparison, exported
from shoal_server.rpc.convert.images import changes, fill_image, image, ingest_options, new_image
from shoal_server.rpc.convert.parameters import requested_parameters
from shoal_server.rpc.convert.queries import diversity_of, query_of, tastes_of, terms_of, threshold_of
from shoal_server.rpc.convert.runs import run
from shoal_server.rpc.convert.schedules import requested_schedule
from shoal_server.rpc.convert.values import ids_within

__all__ = [
    "assignment",
    "changes",
    "cluster",
    "collection",
    "comparison",
    "correction",
    "diversity_of",
    "exported",
    "facet_fields",
    "facets",
    "fill_image",
    "ids_within",
    "image",
    "image_filter",
    "ingest_options",
    "moment",
    "new_image",
    "place",
    "proposal",
    "query_of",
    "requested_parameters",
    "requested_schedule",
    "run",
    "tastes_of",
    "terms_of",
    "theme",
    "threshold_of",
]
