"""The JSON fields of corrections and of reassigned images: programs rely on them."""

from __future__ import annotations

from typing import Any

from shoal_client.results import Correction, CorrectionResult, NoiseProposal


def correction_record(correction: Correction) -> dict[str, Any]:
    """The record of a correction."""
    return {
        "id": correction.id,
        "kind": correction.kind.value,
        "author": correction.author,
        "created_at": correction.created_at.isoformat(),
        "clusters": list(correction.clusters),
        "images": correction.image_count,
        "detail": correction.detail,
        "run": correction.run,
        "undone_at": None if correction.undone_at is None else correction.undone_at.isoformat(),
        "undone_by": correction.undone_by,
    }


def result_record(result: CorrectionResult) -> dict[str, Any]:
    """What came of a correction; ``exist_now`` are those of its clusters that there are now."""
    return {**correction_record(result.correction), "exist_now": list(result.clusters)}


def proposal_record(proposal: NoiseProposal) -> dict[str, Any]:
    """An image in no cluster and where it would go."""
    return {"id": proposal.image_id, "cluster_id": proposal.cluster_id, "similarity": proposal.similarity}
