"""What the routes call."""

from __future__ import annotations

from dataclasses import dataclass

from shoal_server.application.ancestry import Ancestry
from shoal_server.application.assign import Assign
from shoal_server.application.clustering import Clustering
from shoal_server.application.corrections import Corrections
from shoal_server.application.curation import Curation
from shoal_server.application.duplicates import Duplicates
from shoal_server.application.exporting import Exporting
from shoal_server.application.facets import Faceting
from shoal_server.application.geotags import GeotagsOf
from shoal_server.application.history import History
from shoal_server.application.images import Images
from shoal_server.application.ingest import Ingest
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.overview import Overview
from shoal_server.application.pictures import Pictures
from shoal_server.application.previewing import Preview
from shoal_server.application.reassigning import Reassigning
from shoal_server.application.run_map import RunMaps
from shoal_server.application.scheduling import Scheduling
from shoal_server.application.search import Search
from shoal_server.application.status import Status
from shoal_server.application.timeline import TimelineOf
from shoal_server.application.undoing import Undoing
from shoal_server.domain.correction import Correction


@dataclass(frozen=True, slots=True)
class UseCases:
    """Those that gRPC has, and a few that only a page has a use for.

    Attributes:
        previews: say what a correction would change; ``corrections`` carry it out.
    """

    status: Status
    collections: OpenCollections
    overview: Overview
    scheduling: Scheduling
    ingest: Ingest
    images: Images
    pictures: Pictures
    search: Search
    assign: Assign
    faceting: Faceting
    timeline: TimelineOf
    geotags: GeotagsOf
    curation: Curation
    ancestry: Ancestry
    corrections: Corrections[Correction]
    previews: Corrections[Preview]
    undoing: Undoing
    reassigning: Reassigning
    clustering: Clustering
    history: History
    maps: RunMaps
    duplicates: Duplicates
    exporting: Exporting
