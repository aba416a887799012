"""A server for the client's tests: really listens, keeps everything in memory, fails on demand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.rpc import status_pb2
from grpc_status import rpc_status

from shoal.v1 import (
    cluster_pb2,
    cluster_service_pb2,
    cluster_service_pb2_grpc,
    collection_pb2,
    collection_service_pb2,
    collection_service_pb2_grpc,
    curation_service_pb2_grpc,
    image_pb2,
    image_service_pb2,
    image_service_pb2_grpc,
)
from tests.rpc.test_client_fake_curation import FakeCuration
from tests.rpc.test_client_fake_ingest import FakeIngest
from tests.rpc.test_client_fake_ingest import status as status

Item = TypeVar("Item")


def page(items: Sequence[Item], size: int, token: str) -> tuple[Sequence[Item], str]:
    """A page of at most 3 items, so that short lists have several."""
    start = int(token or 0)
    end = start + min(size or 3, 3)
    return items[start:end], str(end) if end < len(items) else ""


class FakeServer(FakeIngest, FakeCuration):
    """Bytes that begin with ``bad`` are no image; the state is there to be set and looked at."""

    def __init__(self) -> None:
        FakeIngest.__init__(self)
        FakeCuration.__init__(self)
        self.address = ""
        self.clusters: list[cluster_pb2.Cluster] = []
        self.runs: dict[str, list[cluster_pb2.ClusteringRun]] = {}
        #: Calls so far: a method's name and its request.
        self.calls: list[tuple[str, Any]] = []
        #: Answers of a method in place of its own, used up one a call.
        self.failures: dict[str, list[status_pb2.Status]] = {}
        #: What FacetImages answers.
        self.facets = image_service_pb2.FacetImagesResponse()

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        self.calls.append((method, request))
        if self.failures.get(method):
            context.abort_with_status(rpc_status.to_status(self.failures[method].pop(0)))

    def _page(self, items: Sequence[Any], request: Any) -> tuple[Sequence[Any], str]:
        return page(items, request.page_size, request.page_token)

    def _collection(self, name: str, context: grpc.ServicerContext) -> dict[str, image_pb2.Image]:
        if name not in self.images:
            missing = status(grpc.StatusCode.NOT_FOUND, f"there is no collection {name}", "COLLECTION_NOT_FOUND")
            context.abort_with_status(rpc_status.to_status(missing))
        return self.images[name]

    def _info(self, name: str) -> collection_pb2.Collection:
        model = collection_pb2.EmbeddingModel(name="debug", digest="sha256:0", dimension=3)
        info = collection_pb2.Collection(name=name, model=model, image_count=len(self.images[name]))
        return self.scheduled(info)

    def CreateCollection(self, request: Any, context: Any) -> collection_pb2.Collection:  # noqa: N802
        self._enter("CreateCollection", request, context)
        name = f"collections/{request.collection_id}"
        if name in self.images:
            context.abort_with_status(rpc_status.to_status(status(grpc.StatusCode.ALREADY_EXISTS, "it exists")))
        self.images[name] = {}
        return self._info(name)

    def AttachCollection(self, request: Any, context: Any) -> collection_pb2.Collection:  # noqa: N802
        self._enter("AttachCollection", request, context)
        name = f"collections/{request.collection_id or request.attachment.source}"
        self.images[name] = {}
        info = self._info(name)
        info.attachment.CopyFrom(request.attachment)
        return info

    def DetachCollection(  # noqa: N802
        self, request: Any, context: Any
    ) -> collection_service_pb2.DetachCollectionResponse:
        self._enter("DetachCollection", request, context)
        count = len(self._collection(request.name, context))
        del self.images[request.name]
        return collection_service_pb2.DetachCollectionResponse(cleaned_count=count if request.clean else 0)

    def GetCollection(self, request: Any, context: Any) -> collection_pb2.Collection:  # noqa: N802
        self._enter("GetCollection", request, context)
        self._collection(request.name, context)
        return self._info(request.name)

    def ListCollections(self, request: Any, context: Any) -> collection_service_pb2.ListCollectionsResponse:  # noqa: N802
        self._enter("ListCollections", request, context)
        names, token = page(sorted(self.images), request.page_size, request.page_token)
        return collection_service_pb2.ListCollectionsResponse(
            collections=[self._info(name) for name in names], next_page_token=token
        )

    def DeleteCollection(self, request: Any, context: Any) -> Empty:  # noqa: N802
        self._enter("DeleteCollection", request, context)
        self._collection(request.name, context)
        del self.images[request.name]
        return Empty()

    def CreateImage(self, request: Any, context: Any) -> image_service_pb2.CreateImageResponse:  # noqa: N802
        self._enter("CreateImage", request, context)
        image, duplicate = self._store(request.parent, request.image)
        return image_service_pb2.CreateImageResponse(image=image, duplicate=duplicate)

    def GetImage(self, request: Any, context: Any) -> image_pb2.Image:  # noqa: N802
        self._enter("GetImage", request, context)
        self.answering.wait()
        images = self._collection(request.name.rpartition("/images/")[0], context)
        if request.name not in images:
            missing = status(
                grpc.StatusCode.NOT_FOUND, "there is no image of that id", "IMAGE_NOT_FOUND", image=request.name
            )
            context.abort_with_status(rpc_status.to_status(missing))
        return images[request.name]

    def ListImages(self, request: Any, context: Any) -> image_service_pb2.ListImagesResponse:  # noqa: N802
        self._enter("ListImages", request, context)
        images = list(self._collection(request.parent, context).values())
        found, token = page(images, request.page_size, request.page_token)
        return image_service_pb2.ListImagesResponse(images=found, next_page_token=token)

    def DeleteImage(self, request: Any, context: Any) -> Empty:  # noqa: N802
        image = self.GetImage(request, context)
        del self.images[request.name.rpartition("/images/")[0]][image.name]
        return Empty()

    def UpdateImage(self, request: Any, context: Any) -> image_pb2.Image:  # noqa: N802
        self._enter("UpdateImage", request, context)
        image = self.images[request.image.name.rpartition("/images/")[0]][request.image.name]
        for field in request.update_mask.paths:
            image.ClearField(field)
        changed = image_pb2.Image()
        request.update_mask.MergeMessage(request.image, changed)
        image.MergeFrom(changed)
        return image

    def RecommendImages(self, request: Any, context: Any) -> image_service_pb2.RecommendImagesResponse:  # noqa: N802
        self._enter("RecommendImages", request, context)
        images = [each for each in self.images[request.parent].values() if each.name not in request.liked]
        found, token = page(images, request.page_size, request.page_token)
        results = [image_service_pb2.SearchImagesResponse.Result(image=image, score=0.75) for image in found]
        return image_service_pb2.RecommendImagesResponse(results=results, next_page_token=token)

    def FacetImages(self, request: Any, context: Any) -> image_service_pb2.FacetImagesResponse:  # noqa: N802
        self._enter("FacetImages", request, context)
        return self.facets

    def GetThumbnail(self, request: Any, context: Any) -> image_service_pb2.Thumbnail:  # noqa: N802
        image = self.GetImage(request, context)
        return image_service_pb2.Thumbnail(content=image.sha256.encode(), content_type="image/webp")

    def DownloadImage(self, request: Any, context: Any) -> Iterator[image_service_pb2.DownloadImageResponse]:  # noqa: N802
        image = self.GetImage(request, context)
        for start in range(0, 64, 10):
            if self.break_after is not None and start >= self.break_after:
                gone = status(grpc.StatusCode.UNAVAILABLE, "the server is shutting down", "SHUTTING_DOWN")
                context.abort_with_status(rpc_status.to_status(gone))
            yield image_service_pb2.DownloadImageResponse(content=image.sha256[start : start + 10].encode())

    def SearchImages(self, request: Any, context: Any) -> image_service_pb2.SearchImagesResponse:  # noqa: N802
        self._enter("SearchImages", request, context)
        images = list(self._collection(request.parent, context).values())
        found, token = page(images, request.page_size, request.page_token)
        results = [image_service_pb2.SearchImagesResponse.Result(image=image, score=0.5) for image in found]
        return image_service_pb2.SearchImagesResponse(results=results, next_page_token=token)

    def GetCluster(self, request: Any, context: Any) -> cluster_pb2.Cluster:  # noqa: N802
        self._enter("GetCluster", request, context)
        return next(cluster for cluster in self.clusters if cluster.name == request.name)

    def ListClusters(self, request: Any, context: Any) -> cluster_service_pb2.ListClustersResponse:  # noqa: N802
        self._enter("ListClusters", request, context)
        chosen = [each for each in self.clusters if not request.themes or each.theme in request.themes]
        found, token = page(chosen, request.page_size, request.page_token)
        themes = self.themes if request.with_themes and not request.page_token else []
        return cluster_service_pb2.ListClustersResponse(clusters=found, next_page_token=token, themes=themes)

    def UpdateCluster(self, request: Any, context: Any) -> cluster_pb2.Cluster:  # noqa: N802
        self._enter("UpdateCluster", request, context)
        cluster = next(cluster for cluster in self.clusters if cluster.name == request.cluster.name)
        cluster.display_name = request.cluster.display_name
        cluster.name_source = cluster_pb2.NAME_SOURCE_PERSON
        return cluster

    def SearchClusters(self, request: Any, context: Any) -> cluster_service_pb2.SearchClustersResponse:  # noqa: N802
        self._enter("SearchClusters", request, context)
        found, token = page(self.clusters, request.page_size, request.page_token)
        results = [
            cluster_service_pb2.SearchClustersResponse.Result(cluster=each, score=0.25, matching=2) for each in found
        ]
        return cluster_service_pb2.SearchClustersResponse(results=results, next_page_token=token)

    def AssignImage(self, request: Any, context: Any) -> cluster_service_pb2.AssignImageResponse:  # noqa: N802
        self._enter("AssignImage", request, context)
        if not self.clusters:
            return cluster_service_pb2.AssignImageResponse(similarity=0.1, outlier=True)
        cluster = self.clusters[0]
        share = cluster_service_pb2.AssignImageResponse.Alternative(
            cluster=cluster.name, display_name=cluster.display_name, similarity=0.75, share=1
        )
        return cluster_service_pb2.AssignImageResponse(
            cluster=cluster.name, display_name=cluster.display_name, similarity=0.75, alternatives=[share]
        )

    def RunClustering(self, request: Any, context: Any) -> cluster_pb2.ClusteringRun:  # noqa: N802
        self._enter("RunClustering", request, context)
        return next(iter(self.runs.values()))[0]

    def GetClusteringRun(self, request: Any, context: Any) -> cluster_pb2.ClusteringRun:  # noqa: N802
        self._enter("GetClusteringRun", request, context)
        return self.runs[request.name][-1]

    def ListClusteringRuns(self, request: Any, context: Any) -> cluster_service_pb2.ListClusteringRunsResponse:  # noqa: N802
        self._enter("ListClusteringRuns", request, context)
        runs = [updates[-1] for updates in self.runs.values()]
        found, token = page(runs, request.page_size, request.page_token)
        return cluster_service_pb2.ListClusteringRunsResponse(clustering_runs=found, next_page_token=token)

    def CancelClusteringRun(self, request: Any, context: Any) -> cluster_pb2.ClusteringRun:  # noqa: N802
        self._enter("CancelClusteringRun", request, context)
        return cluster_pb2.ClusteringRun(name=request.name, state=cluster_pb2.RUN_STATE_CANCELLED)

    def StreamClusteringRun(  # noqa: N802
        self, request: Any, context: Any
    ) -> Iterator[cluster_service_pb2.StreamClusteringRunResponse]:
        self._enter("StreamClusteringRun", request, context)
        for update in self.runs[request.name]:
            yield cluster_service_pb2.StreamClusteringRunResponse(clustering_run=update)
            self.watching.set()
            self.answering.wait()


@contextmanager
def serving(again: FakeServer | None = None) -> Iterator[FakeServer]:
    """A fake server that listens on a free port, with the collection ``default``; or one that ended, where it was."""
    fake = again or FakeServer()
    fake.images.setdefault("collections/default", {})
    server = grpc.server(ThreadPoolExecutor(8))
    collection_service_pb2_grpc.add_CollectionServiceServicer_to_server(fake, server)
    image_service_pb2_grpc.add_ImageServiceServicer_to_server(fake, server)
    cluster_service_pb2_grpc.add_ClusterServiceServicer_to_server(fake, server)
    curation_service_pb2_grpc.add_CurationServiceServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port(fake.address or '127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        fake.answering.set()
        server.stop(0).wait()


def cluster(number: int, name: str, size: int) -> cluster_pb2.Cluster:
    """A cluster of the collection ``default``."""
    return cluster_pb2.Cluster(
        name=f"collections/default/clusters/{number}",
        display_name=name,
        name_source=cluster_pb2.NAME_SOURCE_AUTOMATIC,
        size=size,
        exemplars=[f"collections/default/images/{uuid.UUID(int=number)}"],
    )


def run_updates(run: str, *, error: status_pb2.Status | None = None) -> list[cluster_pb2.ClusteringRun]:
    """A run of the collection ``default`` as it is told: begun, under way, ended."""
    name = f"collections/default/clusteringRuns/{run}"
    begun = cluster_pb2.ClusteringRun(name=name, state=cluster_pb2.RUN_STATE_RUNNING)
    under_way = cluster_pb2.ClusteringRun(
        name=name, state=cluster_pb2.RUN_STATE_RUNNING, stage=cluster_pb2.RUN_STAGE_REDUCING, progress=0.5
    )
    if error is not None:
        return [begun, under_way, cluster_pb2.ClusteringRun(name=name, state=cluster_pb2.RUN_STATE_FAILED, error=error)]
    summary = cluster_pb2.ClusteringSummary(
        image_count=10, cluster_count=2, clustered_count=9, noise_count=1, payload_write_count=9, born_count=2
    )
    ended = cluster_pb2.ClusteringRun(
        name=name, state=cluster_pb2.RUN_STATE_SUCCEEDED, progress=1, active=True, summary=summary
    )
    return [begun, under_way, ended]
