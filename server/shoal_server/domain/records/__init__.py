"""What stores keep, as plain JSON values and back.

Dates are ISO 8601 texts, spans of time seconds, enumerations their values, ids texts. JSON has neither NaN nor
infinity: where a run has such a figure, its record has none. A field that a record does not have is a KeyError and a
value of the wrong form a ValueError or TypeError: the store that kept it says where it stood. Fields that came with a
later version may be absent, and then have their defaults, so that what an older version wrote is read.
"""

from shoal_server.domain.records.cluster import cluster_from_record, cluster_to_record
from shoal_server.domain.records.collection import collection_from_record, collection_to_record
from shoal_server.domain.records.correction import correction_from_record, correction_to_record
from shoal_server.domain.records.groupings import groupings_from_record, groupings_to_record
from shoal_server.domain.records.run import run_from_record, run_to_record
from shoal_server.domain.records.values import Record

__all__ = [
    "Record",
    "cluster_from_record",
    "cluster_to_record",
    "collection_from_record",
    "collection_to_record",
    "correction_from_record",
    "correction_to_record",
    "groupings_from_record",
    "groupings_to_record",
    "run_from_record",
    "run_to_record",
]
