"""What differs between runs, and what one of them says of every image."""

from __future__ import annotations

from shoal.v1 import cluster_service_pb2
from shoal_server.application.history import Comparison, Exported
from shoal_server.rpc.convert.images import image
from shoal_server.rpc.convert.values import cluster_or_none
from shoal_server.rpc.resource_names import cluster_name


def comparison(collection_id: str, found: Comparison) -> cluster_service_pb2.CompareClusteringRunsResponse:
    """What differs between two runs."""
    return cluster_service_pb2.CompareClusteringRunsResponse(
        same_count=found.same,
        moved_count=found.moved,
        added_count=found.added,
        removed_count=found.removed,
        flows=[
            # A field is called `from`, which is no name in Python.
            cluster_service_pb2.CompareClusteringRunsResponse.Flow(
                **{"from": cluster_or_none(collection_id, flow.before)},
                from_display_name=flow.before_name,
                to=cluster_or_none(collection_id, flow.after),
                to_display_name=flow.after_name,
                image_count=flow.images,
            )
            for flow in found.flows
        ],
        new_clusters=[cluster_name(collection_id, cluster_id) for cluster_id in found.new_clusters],
        gone_clusters=[cluster_name(collection_id, cluster_id) for cluster_id in found.gone_clusters],
    )


def exported(collection_id: str, each: Exported) -> cluster_service_pb2.ExportAssignmentsResponse.Assignment:
    """What a run says of one image."""
    x, y = each.coordinates or (None, None)
    return cluster_service_pb2.ExportAssignmentsResponse.Assignment(
        image=image(collection_id, each.image),
        cluster=cluster_or_none(collection_id, each.cluster_id),
        display_name=each.cluster_name,
        strength=each.strength,
        x=x,
        y=y,
    )
