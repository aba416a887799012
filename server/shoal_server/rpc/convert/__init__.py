"""Between the domain and protobuf, both ways: a module for each resource."""

from shoal_server.rpc.convert.clusters import assignment, cluster
from shoal_server.rpc.convert.collections import collection
from shoal_server.rpc.convert.corrections import correction, proposal
from shoal_server.rpc.convert.groupings import moment, place, theme
from shoal_server.rpc.convert.history import comparison, exported
from shoal_server.rpc.convert.images import image, image_filter
from shoal_server.rpc.convert.parameters import requested_parameters
from shoal_server.rpc.convert.queries import query_of
from shoal_server.rpc.convert.runs import run
from shoal_server.rpc.convert.schedules import requested_schedule
from shoal_server.rpc.convert.values import ids_within

__all__ = [
    "assignment",
    "cluster",
    "collection",
    "comparison",
    "correction",
    "exported",
    "ids_within",
    "image",
    "image_filter",
    "moment",
    "place",
    "proposal",
    "query_of",
    "requested_parameters",
    "requested_schedule",
    "run",
    "theme",
]
