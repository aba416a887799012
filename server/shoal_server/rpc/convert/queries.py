"""What a search looks for."""

from __future__ import annotations

import numpy as np

from shoal.v1 import cluster_service_pb2, image_service_pb2
from shoal_server.application.queries import ContentQuery, ImageQuery, Query, TextQuery, VectorQuery
from shoal_server.domain.errors import InvalidField
from shoal_server.rpc.convert.values import id_within
from shoal_server.rpc.resource_names import parse_image

Search = image_service_pb2.SearchImagesRequest | cluster_service_pb2.SearchClustersRequest


def query_of(collection_id: str, request: Search | cluster_service_pb2.AssignImageRequest) -> Query:
    """What to look for, or what to assign.

    Raises:
        InvalidField: nothing is given.
        InvalidName: the image is not one of this collection.
    """
    if isinstance(request, cluster_service_pb2.AssignImageRequest):
        if request.WhichOneof("image") is None:
            raise InvalidField("image", "is missing; give an image's bytes, an image's name or a vector")
    elif request.WhichOneof("query") is None:
        raise InvalidField("query", "is missing; give a text, an image's bytes, an image's name or a vector")
    elif request.HasField("text"):
        return TextQuery(request.text)
    if request.HasField("image_content"):
        return ContentQuery(request.image_content)
    if request.HasField("image_name"):
        return ImageQuery(id_within(collection_id, parse_image, request.image_name))
    return VectorQuery(np.array(request.vector.values, dtype=np.float32))
