"""CurationService: requests to use cases and back."""

from __future__ import annotations

from typing import Any

import grpc

from shoal.v1 import curation_service_pb2, curation_service_pb2_grpc
from shoal_server.application.caller import author_of
from shoal_server.application.corrections import Corrections
from shoal_server.application.curation import Curation
from shoal_server.application.reassigning import Reassigning
from shoal_server.application.undoing import Undoing
from shoal_server.domain.correction import Correction
from shoal_server.rpc import convert
from shoal_server.rpc.paging import make_token, page_size, read_token
from shoal_server.rpc.resource_names import (
    cluster_name,
    parse_cluster,
    parse_collection,
    parse_correction,
    parse_image,
)

Context = grpc.aio.ServicerContext[Any, Any]

#: More proposals are not told, but counted.
MAX_PROPOSALS = 10_000


class CurationService(curation_service_pb2_grpc.CurationServiceServicer):
    """Takes corrections."""

    def __init__(
        self, corrections: Corrections[Correction], undoing: Undoing, reassigning: Reassigning, curation: Curation
    ) -> None:
        self._corrections = corrections
        self._undoing = undoing
        self._reassigning = reassigning
        self._curation = curation

    async def MergeClusters(
        self, request: curation_service_pb2.MergeClustersRequest, context: Context
    ) -> curation_service_pb2.CorrectionResult:
        collection = parse_collection(request.parent)
        clusters = convert.ids_within(collection, parse_cluster, request.clusters)
        return await self._result(
            collection, await self._corrections.merge(collection, clusters, author_of(request.author))
        )

    async def SplitCluster(
        self, request: curation_service_pb2.SplitClusterRequest, context: Context
    ) -> curation_service_pb2.CorrectionResult:
        collection, cluster = parse_cluster(request.name)
        if request.HasField("listed"):
            images = convert.ids_within(collection, parse_image, request.listed.images)
            done = await self._corrections.split_off(collection, cluster, images, author_of(request.author))
        else:
            done = await self._corrections.split(
                collection, cluster, request.automatic.part_count, author_of(request.author)
            )
        return await self._result(collection, done)

    async def PinCluster(
        self, request: curation_service_pb2.PinClusterRequest, context: Context
    ) -> curation_service_pb2.CorrectionResult:
        collection, cluster = parse_cluster(request.name)
        done = await self._corrections.pin(collection, cluster, not request.unpin, author_of(request.author))
        return await self._result(collection, done)

    async def MoveImages(
        self, request: curation_service_pb2.MoveImagesRequest, context: Context
    ) -> curation_service_pb2.CorrectionResult:
        collection = parse_collection(request.parent)
        images = convert.ids_within(collection, parse_image, request.images)
        [to] = convert.ids_within(collection, parse_cluster, [request.cluster]) if request.cluster else [None]
        return await self._result(
            collection, await self._corrections.move(collection, images, to, author_of(request.author))
        )

    async def DissolveCluster(
        self, request: curation_service_pb2.DissolveClusterRequest, context: Context
    ) -> curation_service_pb2.CorrectionResult:
        collection, cluster = parse_cluster(request.name)
        return await self._result(
            collection, await self._corrections.dissolve(collection, cluster, author_of(request.author))
        )

    async def ReassignNoise(
        self, request: curation_service_pb2.ReassignNoiseRequest, context: Context
    ) -> curation_service_pb2.ReassignNoiseResponse:
        collection = parse_collection(request.parent)
        least = request.min_similarity if request.HasField("min_similarity") else None
        if request.validate_only:
            done, proposals = None, await self._reassigning.propose(collection, least)
        else:
            done, proposals = await self._reassigning.carry_out(collection, least, author_of(request.author))
        return curation_service_pb2.ReassignNoiseResponse(
            proposals=[convert.proposal(collection, proposal) for proposal in proposals[:MAX_PROPOSALS]],
            proposal_count=len(proposals),
            correction=None if done is None else convert.correction(collection, done),
        )

    async def ListCorrections(
        self, request: curation_service_pb2.ListCorrectionsRequest, context: Context
    ) -> curation_service_pb2.ListCorrectionsResponse:
        collection = parse_collection(request.parent)
        size = page_size(request.page_size, 100)
        cursor = read_token(request, request.page_token)
        rest = [done for done in await self._corrections.list(collection) if not cursor or done.id < cursor]
        page = rest[:size]
        return curation_service_pb2.ListCorrectionsResponse(
            corrections=[convert.correction(collection, done) for done in page],
            next_page_token=make_token(request, page[-1].id) if len(rest) > size else "",
        )

    async def UndoCorrection(
        self, request: curation_service_pb2.UndoCorrectionRequest, context: Context
    ) -> curation_service_pb2.CorrectionResult:
        collection, correction = parse_correction(request.name)
        return await self._result(collection, await self._undoing(collection, correction, author_of(request.author)))

    async def _result(self, collection: str, done: Correction) -> curation_service_pb2.CorrectionResult:
        there = await self._curation.existing(collection, done.clusters)
        return curation_service_pb2.CorrectionResult(
            correction=convert.correction(collection, done),
            clusters=[cluster_name(collection, cluster) for cluster in there],
        )
