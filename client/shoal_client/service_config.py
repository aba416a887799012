"""gRPC's own retry policy for Shoal's methods.

https://github.com/grpc/proposal/blob/master/A6-client-retries.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

#: Asking again gives the same answer and does the same: also asked again when the server says that it is full.
SAFE_TO_REPEAT: Mapping[str, tuple[str, ...]] = {
    "shoal.v1.CollectionService": ("GetCollection", "ListCollections"),
    "shoal.v1.ImageService": (
        "CreateImage",
        "CheckImages",
        "GetImage",
        "ListImages",
        "UpdateImage",
        "SearchImages",
        "RecommendImages",
        "FacetImages",
        "GetThumbnail",
        "DownloadImage",
    ),
    "shoal.v1.ClusterService": (
        "GetCluster",
        "ListClusters",
        "SearchClusters",
        "AssignImage",
        "GetClusteringRun",
        "ListClusteringRuns",
        "CompareClusteringRuns",
        "ExportAssignments",
        "ListPlaces",
        "ListMoments",
        "StreamClusteringRun",
    ),
    "shoal.v1.CurationService": ("ListCorrections",),
    "shoal.v1.DuplicateService": ("ListDuplicateGroups",),
    "shoal.v1.StatusService": ("GetServerStatus",),
    "shoal.v1.ChangeService": ("WatchAssignments",),
}

#: Asking again does the same (the client always sends a request_id with RunClustering).
IDEMPOTENT: Mapping[str, tuple[str, ...]] = {
    "shoal.v1.CollectionService": ("UpdateCollection",),
    "shoal.v1.ClusterService": ("UpdateCluster", "RunClustering", "CancelClusteringRun", "ActivateClusteringRun"),
}

#: A second attempt would be refused or recorded once more after what the first one did, or has a stream to repeat.
NEVER_REPEATED: Mapping[str, tuple[str, ...]] = {
    "shoal.v1.CollectionService": ("CreateCollection", "DeleteCollection", "AttachCollection", "DetachCollection"),
    "shoal.v1.ImageService": ("DeleteImage", "IngestImages"),
    "shoal.v1.BackupService": ("Backup",),
    "shoal.v1.CurationService": (
        "MergeClusters",
        "SplitCluster",
        "PinCluster",
        "MoveImages",
        "DissolveCluster",
        "ReassignNoise",
        "UndoCorrection",
    ),
}


def service_config() -> str:
    """The service config as JSON: at most four attempts, which takes about two seconds if nobody answers."""
    return json.dumps(
        {
            "methodConfig": [
                _method_config(SAFE_TO_REPEAT, ("UNAVAILABLE", "RESOURCE_EXHAUSTED")),
                _method_config(IDEMPOTENT, ("UNAVAILABLE",)),
            ]
        }
    )


def _method_config(methods: Mapping[str, tuple[str, ...]], codes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": [{"service": service, "method": method} for service, names in methods.items() for method in names],
        "retryPolicy": {
            "maxAttempts": 4,
            "initialBackoff": "0.2s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": list(codes),
        },
    }
