"""Corrections and proposals."""

from __future__ import annotations

from shoal.v1 import correction_pb2, curation_service_pb2
from shoal_server.application.reassigning import Proposal
from shoal_server.domain.correction import Correction, CorrectionKind
from shoal_server.rpc.convert.values import timestamp
from shoal_server.rpc.resource_names import cluster_name, correction_name, image_name, run_name

_KINDS = {
    CorrectionKind.RENAME: correction_pb2.CORRECTION_KIND_RENAME,
    CorrectionKind.MERGE: correction_pb2.CORRECTION_KIND_MERGE,
    CorrectionKind.SPLIT: correction_pb2.CORRECTION_KIND_SPLIT,
    CorrectionKind.PIN: correction_pb2.CORRECTION_KIND_PIN,
    CorrectionKind.UNPIN: correction_pb2.CORRECTION_KIND_UNPIN,
    CorrectionKind.MOVE: correction_pb2.CORRECTION_KIND_MOVE,
    CorrectionKind.DISSOLVE: correction_pb2.CORRECTION_KIND_DISSOLVE,
    CorrectionKind.REASSIGN_NOISE: correction_pb2.CORRECTION_KIND_REASSIGN_NOISE,
}


def correction(collection_id: str, record: Correction) -> correction_pb2.Correction:
    """The record of a correction."""
    return correction_pb2.Correction(
        name=correction_name(collection_id, record.id),
        kind=_KINDS[record.kind],
        author=record.author,
        create_time=timestamp(record.created_at),
        clusters=[cluster_name(collection_id, cluster_id) for cluster_id in record.clusters],
        image_count=record.images,
        detail=record.detail,
        run="" if record.run is None else run_name(collection_id, record.run),
        undo_time=timestamp(record.undone_at),
        undo_author=record.undone_by,
    )


def proposal(collection_id: str, proposed: Proposal) -> curation_service_pb2.ReassignNoiseResponse.Proposal:
    """An image in no cluster and the one it is nearest to."""
    return curation_service_pb2.ReassignNoiseResponse.Proposal(
        image=image_name(collection_id, proposed.image),
        cluster=cluster_name(collection_id, proposed.cluster_id),
        similarity=proposed.similarity,
    )
