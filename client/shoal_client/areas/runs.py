"""Clustering runs: starting, following, comparing, putting in force, exporting."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from uuid import uuid4

from shoal.v1 import cluster_service_pb2
from shoal_client import conversion
from shoal_client.areas.area import Area
from shoal_client.errors import Aborted, Cancelled, InternalError
from shoal_client.paging import MAX_PAGE, walk
from shoal_client.results import ClusteringParameters, ClusteringRun, ExportedImage, RunComparison, RunState


class Runs(Area):
    """The clustering runs of a collection."""

    async def run_clustering(
        self, parameters: ClusteringParameters | None = None, *, request_id: str | None = None
    ) -> ClusteringRun:
        """Starts a reclustering and answers at once; follow it with :meth:`watch_run`.

        Args:
            parameters: how to do it; the server chooses what is left out.
            request_id: a UUID: asking again with the same one answers with the run it started. One is made up if left
                out, so that gRPC's own retries start one run only.

        Raises:
            Aborted: one is under way.
            FailedPrecondition: there are too few images.
        """
        request = cluster_service_pb2.RunClusteringRequest(
            parent=self._parent,
            parameters=conversion.parameters_message(parameters or ClusteringParameters()),
            request_id=request_id or str(uuid4()),
        )
        return conversion.run(await self._transport.call(self._transport.clusters.RunClustering, request))

    async def watch_run(self, run: ClusteringRun | str) -> AsyncGenerator[ClusteringRun, None]:
        """Yields a run as it is now and again after each change, until it has ended.

        Args:
            run: the run or its id.

        Raises:
            NotFound: there is none of that id.
        """
        request = cluster_service_pb2.StreamClusteringRunRequest(name=self._run_name(run))
        responses = self._transport.stream(self._transport.clusters.StreamClusteringRun, request)
        async with aclosing(responses):
            async for response in responses:
                yield conversion.run(response.clustering_run)

    async def recluster(
        self,
        parameters: ClusteringParameters | None = None,
        *,
        join: bool = False,
        on_progress: Callable[[ClusteringRun], None] | None = None,
    ) -> ClusteringRun:
        """Reclusters, waits for the end and answers with the run, its lineage and trials.

        Its clusters are then in force, unless its state is HELD_BACK: then the result was implausible, the run says
        why, nothing was changed, and :meth:`activate_run` puts it in force all the same.

        Args:
            parameters: how to do it; the server chooses what is left out.
            join: if a run is under way already, wait for that one instead; the parameters then have no effect.
            on_progress: called with the run after each change.

        Raises:
            ShoalError: why the run failed, if it did.
            Cancelled: somebody cancelled it.
            Aborted: one is under way, and ``join`` was not asked for.
        """
        try:
            run: ClusteringRun | str = await self.run_clustering(parameters)
        except Aborted as error:
            under_way = run_under_way(error)
            if not join or under_way is None:
                raise
            run = under_way
        async with aclosing(self.watch_run(run)) as updates:
            async for update in updates:
                run = update
                if on_progress is not None:
                    on_progress(update)
        if isinstance(run, str):
            raise InternalError(f"the server told nothing about run {run!r}; is it another version?")
        return await self.get_run(check_complete(run))

    def runs(self, *, page_size: int = MAX_PAGE) -> AsyncGenerator[ClusteringRun, None]:
        """All runs, newest first, a page at a time.

        Args:
            page_size: runs fetched at once, 1 to 1000.
        """

        async def fetch(token: str) -> tuple[list[ClusteringRun], str]:
            request = cluster_service_pb2.ListClusteringRunsRequest(
                parent=self._parent, page_size=page_size, page_token=token
            )
            page = await self._transport.call(self._transport.clusters.ListClusteringRuns, request)
            return [conversion.run(each) for each in page.clustering_runs], page.next_page_token

        return walk(fetch)

    async def get_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """A run as it is now.

        Raises:
            NotFound: there is none of that id.
        """
        request = cluster_service_pb2.GetClusteringRunRequest(name=self._run_name(run))
        return conversion.run(await self._transport.call(self._transport.clusters.GetClusteringRun, request))

    async def cancel_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """Stops a run; the clusters stay as they were. A run that has ended is answered as it is.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: it is writing its ids back and will be done in a moment.
        """
        request = cluster_service_pb2.CancelClusteringRunRequest(name=self._run_name(run))
        return conversion.run(await self._transport.call(self._transport.clusters.CancelClusteringRun, request))

    async def activate_run(self, run: ClusteringRun | str) -> ClusteringRun:
        """Puts a run's clusters in force: those of an earlier one again, or those of one that was held back.

        Only what differs is written. Images that came since are assigned by vote.

        Args:
            run: the run or its id.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: it has no result, or its files are no longer kept.
            Aborted: a run is under way.
        """
        request = cluster_service_pb2.ActivateClusteringRunRequest(name=self._run_name(run))
        answer = await self._transport.call(self._transport.clusters.ActivateClusteringRun, request, limited=False)
        return conversion.run(answer)

    async def compare_runs(self, base: ClusteringRun | str, other: ClusteringRun | str) -> RunComparison:
        """What differs between two runs.

        Args:
            base: the one before, or its id.
            other: the one after, or its id.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: one has no result, or its files are no longer kept.
        """
        request = cluster_service_pb2.CompareClusteringRunsRequest(
            base=self._run_name(base), other=self._run_name(other)
        )
        answer = await self._transport.call(self._transport.clusters.CompareClusteringRuns, request)
        return conversion.comparison(answer)

    async def export(self, run: ClusteringRun | str | None = None) -> AsyncGenerator[ExportedImage, None]:
        """Yields every image with its cluster, strength and place on the map, in the order of the images' ids.

        Args:
            run: the run or its id; the clusters as they are now if left out.

        Raises:
            NotFound: there is none of that id.
            FailedPrecondition: it has no result, or its files are no longer kept.
        """
        name = self._parent if run is None else self._run_name(run)
        request = cluster_service_pb2.ExportAssignmentsRequest(name=name)
        responses = self._transport.stream(self._transport.clusters.ExportAssignments, request)
        async with aclosing(responses):
            async for response in responses:
                for each in response.assignments:
                    yield conversion.exported_image(each)


def run_under_way(error: Aborted) -> str | None:
    """The id of the run because of which another one was refused; None if it was refused for something else."""
    return error.metadata.get("run") if error.reason == "RUN_IN_PROGRESS" else None


def check_complete(run: ClusteringRun) -> ClusteringRun:
    """The run, if it has a result: in force, or held back.

    Raises:
        ShoalError: why it failed, if it did.
        Cancelled: it was cancelled.
        InternalError: its progress ended before it did.
    """
    match run.state:
        case RunState.SUCCEEDED | RunState.HELD_BACK:
            return run
        case RunState.FAILED if run.error is not None:
            raise run.error
        case RunState.CANCELLED:
            raise Cancelled(f"run {run.id!r} was cancelled; the clusters are as they were", reason="RUN_CANCELLED")
    raise InternalError(f"the server stopped telling about run {run.id!r} while it was {run.state.value}")
