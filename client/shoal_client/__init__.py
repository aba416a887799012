"""Shoal's client: turns image collections into stable clusters, over gRPC.

from shoal_client import Client

with Client("127.0.0.1:50051") as client:
    client.ensure_collection("holidays")
    holidays = client.collection("holidays")
    for result in holidays.ingest(["beach.jpg", "dunes.jpg"]):
        print(result.uri, result.outcome.value)
"""

from shoal_client.async_client import AsyncClient
from shoal_client.async_collection import AsyncCollection, check_succeeded
from shoal_client.client import Client
from shoal_client.collection import Collection
from shoal_client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    ClientClosed,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FileTooLarge,
    InternalError,
    InvalidArgument,
    MissingExtra,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    ServerEnded,
    ShoalError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    UnreadableFile,
)
from shoal_client.results import (
    Alternative,
    Assignment,
    Cluster,
    ClusteringParameters,
    ClusteringRun,
    ClusteringSummary,
    ClusterMatch,
    CollectionInfo,
    EmbeddingModel,
    Image,
    ImageMatch,
    ImageMetadata,
    IngestResult,
    Location,
    NameCandidate,
    NameSource,
    Outcome,
    RunStage,
    RunState,
)
from shoal_client.sources import ImageInput, ImageSource

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Alternative",
    "Assignment",
    "AsyncClient",
    "AsyncCollection",
    "Cancelled",
    "Client",
    "ClientClosed",
    "Cluster",
    "ClusterMatch",
    "ClusteringParameters",
    "ClusteringRun",
    "ClusteringSummary",
    "Collection",
    "CollectionInfo",
    "DataLoss",
    "DeadlineExceeded",
    "EmbeddingModel",
    "FailedPrecondition",
    "FileTooLarge",
    "Image",
    "ImageInput",
    "ImageMatch",
    "ImageMetadata",
    "ImageSource",
    "IngestResult",
    "InternalError",
    "InvalidArgument",
    "Location",
    "MissingExtra",
    "NameCandidate",
    "NameSource",
    "NotFound",
    "Outcome",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "RunStage",
    "RunState",
    "ServerEnded",
    "ShoalError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UnreadableFile",
    "check_succeeded",
]
