"""Changes of assignments."""

from __future__ import annotations

from shoal.v1 import change_service_pb2
from shoal_client import names
from shoal_client.conversion.times import time
from shoal_client.results import AssignmentChanges, ImageAssignment


def assignment_changes(message: change_service_pb2.WatchAssignmentsResponse) -> AssignmentChanges:
    """Some changes."""
    return AssignmentChanges(
        assignments=tuple(
            ImageAssignment(
                image=names.child_id(each.image, names.IMAGES),
                point_id=each.point_id,
                cluster_id=each.cluster_id if each.HasField("cluster_id") else None,
                removed=each.removed,
            )
            for each in message.assignments
        ),
        token=message.token or None,
        current=message.current,
        time=time(message.time),
    )
