"""What the client answers with: frozen dataclasses of plain Python values."""

from shoal_client.results.assignments import (
    ExportedImage,
    Flow,
    RunComparison,
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

__all__ = [
    "Alternative",
    "Assignment",
    "Cluster",
    "ClusterMatch",
    "ClusteringMethod",
    "ClusteringParameters",
    "ClusteringRun",
    "ClusteringSummary",
    "CollectionInfo",
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
    "Share",
    "Theme",
]
