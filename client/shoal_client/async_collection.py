"""One collection, asynchronously."""

from __future__ import annotations

from shoal_client.areas.changes import ChangesArea
from shoal_client.areas.clusters import Clusters
from shoal_client.areas.corrections import Corrections
from shoal_client.areas.duplicates import Duplicates
from shoal_client.areas.finding import Finding
from shoal_client.areas.images import Images
from shoal_client.areas.runs import Runs
from shoal_client.areas.schedule import ScheduleArea


class AsyncCollection(Images, Finding, Duplicates, Clusters, Runs, Corrections, ScheduleArea, ChangesArea):
    """A handle on a collection of the server; making one asks the server nothing.

    Get it from :meth:`shoal_client.AsyncClient.collection`. All methods raise :class:`shoal_client.ShoalError` or a
    subclass; :class:`shoal_client.NotFound` if there is no such collection.

    Attributes:
        id: the collection's.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"
