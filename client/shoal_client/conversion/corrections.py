"""People's corrections."""

from __future__ import annotations

from shoal.v1 import correction_pb2, curation_service_pb2
from shoal_client import names
from shoal_client.conversion.times import time
from shoal_client.results import Correction, CorrectionKind, CorrectionResult, NoiseProposal, NoiseReassignment

CORRECTION_KINDS = {
    correction_pb2.CORRECTION_KIND_RENAME: CorrectionKind.RENAME,
    correction_pb2.CORRECTION_KIND_MERGE: CorrectionKind.MERGE,
    correction_pb2.CORRECTION_KIND_SPLIT: CorrectionKind.SPLIT,
    correction_pb2.CORRECTION_KIND_PIN: CorrectionKind.PIN,
    correction_pb2.CORRECTION_KIND_UNPIN: CorrectionKind.UNPIN,
    correction_pb2.CORRECTION_KIND_MOVE: CorrectionKind.MOVE,
    correction_pb2.CORRECTION_KIND_DISSOLVE: CorrectionKind.DISSOLVE,
    correction_pb2.CORRECTION_KIND_REASSIGN_NOISE: CorrectionKind.REASSIGN_NOISE,
}


def correction(message: correction_pb2.Correction) -> Correction:
    """The record of a correction."""
    return Correction(
        id=names.child_id(message.name, names.CORRECTIONS),
        kind=CORRECTION_KINDS.get(message.kind, CorrectionKind.UNKNOWN),
        author=message.author,
        created_at=time(message.create_time),
        clusters=tuple(names.cluster_id(each) for each in message.clusters),
        image_count=message.image_count,
        detail=message.detail,
        run=names.child_id(message.run, names.RUNS) if message.run else None,
        undone_at=time(message.undo_time) if message.HasField("undo_time") else None,
        undone_by=message.undo_author,
    )


def correction_result(message: curation_service_pb2.CorrectionResult) -> CorrectionResult:
    """What came of a correction."""
    return CorrectionResult(correction(message.correction), tuple(names.cluster_id(each) for each in message.clusters))


def noise_reassignment(message: curation_service_pb2.ReassignNoiseResponse) -> NoiseReassignment:
    """What became, or would become, of images in no cluster."""
    return NoiseReassignment(
        proposals=tuple(
            NoiseProposal(names.child_id(each.image, names.IMAGES), names.cluster_id(each.cluster), each.similarity)
            for each in message.proposals
        ),
        proposal_count=message.proposal_count,
        correction=correction(message.correction) if message.HasField("correction") else None,
    )
