"""What the client answers with: frozen dataclasses of plain Python values."""

from shoal_client.results.assignments import (
    ExportedImage,
    Flow,
    RunComparison,
)
from shoal_client.results.changes import (
    AssignmentChanges,
    ImageAssignment,
)
from shoal_client.results.clusters import (
    Alternative,
    Assignment,
    Cluster,
    ClusterMatch,
    NameCandidate,
    NameSource,
)
from shoal_client.results.collections import (
    Attachment,
    CollectionInfo,
    EmbeddingModel,
)
from shoal_client.results.corrections import (
    Correction,
    CorrectionKind,
    CorrectionResult,
    NoiseProposal,
    NoiseReassignment,
)
from shoal_client.results.duplicates import (
    Duplicate,
    DuplicateGroup,
)
from shoal_client.results.facets import (
    Facet,
    FacetCount,
    FacetField,
    Facets,
)
from shoal_client.results.groupings import (
    Moment,
    Place,
    Theme,
)
from shoal_client.results.images import (
    Image,
    ImageMatch,
    ImageMetadata,
    IngestResult,
    Location,
    Outcome,
)
from shoal_client.results.runs import (
    ClusteringMethod,
    ClusteringParameters,
    ClusteringRun,
    ClusteringSummary,
    Granularity,
    Lineage,
    LineageKind,
    ParameterTrial,
    Reducer,
    RunKind,
    RunStage,
    RunState,
    Share,
)
from shoal_client.results.schedules import (
    Schedule,
    ScheduleStatus,
)
from shoal_client.results.status import (
    CollectionStatus,
    ComponentStatus,
    ServerStatus,
)

__all__ = [
    "Alternative",
    "Assignment",
    "Attachment",
    "AssignmentChanges",
    "Cluster",
    "ClusterMatch",
    "ClusteringMethod",
    "ClusteringParameters",
    "ClusteringRun",
    "ClusteringSummary",
    "CollectionInfo",
    "CollectionStatus",
    "ComponentStatus",
    "Correction",
    "CorrectionKind",
    "CorrectionResult",
    "Duplicate",
    "DuplicateGroup",
    "EmbeddingModel",
    "ExportedImage",
    "Facet",
    "FacetCount",
    "FacetField",
    "Facets",
    "Flow",
    "Granularity",
    "Image",
    "ImageAssignment",
    "ImageMatch",
    "ImageMetadata",
    "IngestResult",
    "Lineage",
    "LineageKind",
    "Location",
    "Moment",
    "NameCandidate",
    "NameSource",
    "NoiseProposal",
    "NoiseReassignment",
    "Outcome",
    "ParameterTrial",
    "Place",
    "Reducer",
    "RunComparison",
    "RunKind",
    "RunStage",
    "RunState",
    "Schedule",
    "ScheduleStatus",
    "ServerStatus",
    "Share",
    "Theme",
]
