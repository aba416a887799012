"""How the fake server takes images: in parts, refusing some, breaking off streams."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from shoal.v1 import image_pb2, image_service_pb2, image_service_pb2_grpc


def status(code: grpc.StatusCode, message: str, reason: str = "", **metadata: str) -> status_pb2.Status:
    """A status as the server sends it: with ErrorInfo if there is a reason."""
    answer = status_pb2.Status(code=code.value[0], message=message)
    if reason:
        answer.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="shoal", metadata=metadata))
    return answer


class FakeIngest(image_service_pb2_grpc.ImageServiceServicer):
    """Bytes that begin with ``bad`` are no image, and those that begin with ``alike`` look like the first one."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, image_pb2.Image]] = {}
        #: Single images, streams of images and of runs go on only while this is set.
        self.answering = threading.Event()
        self.answering.set()
        #: Set when a stream has got as far as it gets for the moment.
        self.watching = threading.Event()
        #: After so many images the stream of an ingest is broken off, after so many bytes that of a download.
        self.break_after: int | None = None
        #: That of the streams after it; None: the same.
        self.break_again_after: int | None = None
        #: What it is broken off with.
        self.broken_with = status(grpc.StatusCode.UNAVAILABLE, "the server is shutting down", "SHUTTING_DOWN")
        #: After so many images the stream of an ingest stops to be answered.
        self.stop_answering_after: int | None = None
        #: How often an image is still to be refused for want of room, by its bytes.
        self.refusals: Counter[bytes] = Counter()
        #: Refused images are to be sent again after this.
        self.retry_delay_s = 0.01
        #: The bytes of the images of each stream, in order.
        self.streams: list[list[bytes]] = []
        #: The options of each stream.
        self.options: list[image_service_pb2.IngestOptions] = []
        #: The largest message.
        self.longest_message = 0

    def CheckImages(self, request: Any, context: Any) -> image_service_pb2.CheckImagesResponse:  # noqa: N802
        self._enter("CheckImages", request, context)
        stored = {image.sha256 for image in self.images[request.parent].values()}
        return image_service_pb2.CheckImagesResponse(stored=[each for each in request.sha256s if each in stored])

    def IngestImages(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> Iterator[image_service_pb2.IngestImagesResponse]:
        self._enter("IngestImages", None, context)
        received: list[bytes] = []
        self.streams.append(received)
        parent = ""
        content: list[bytes] = []
        first: image_service_pb2.NewImage | None = None
        for request in request_iterator:
            if not parent:
                self.options.append(request.options)
            parent = parent or request.parent
            assert request.parent in ("", parent)
            self.longest_message = max(self.longest_message, request.ByteSize())
            first = first or request.image
            content.append(request.image.content)
            if request.more:
                continue
            whole = image_service_pb2.NewImage()
            whole.CopyFrom(first)
            whole.content = b"".join(content)
            if len(received) == self.break_after:
                if self.break_again_after is not None:
                    self.break_after = self.break_again_after
                context.abort_with_status(rpc_status.to_status(self.broken_with))
            if len(received) == self.stop_answering_after:
                self.answering.clear()
                self.watching.set()
            self.answering.wait()
            received.append(whole.content)
            yield self._response(parent, whole)
            first, content = None, []

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        raise NotImplementedError

    def _response(self, parent: str, new: image_service_pb2.NewImage) -> image_service_pb2.IngestImagesResponse:
        if self.refusals[new.content]:
            self.refusals[new.content] -= 1
            full = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full", "OVERLOADED")
            delay = Duration()
            delay.FromMilliseconds(round(self.retry_delay_s * 1000))
            full.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
            return image_service_pb2.IngestImagesResponse(error=full)
        if new.content.startswith(b"bad"):
            problem = status(grpc.StatusCode.INVALID_ARGUMENT, "no image", "UNSUPPORTED_FORMAT", allowed="PNG")
            return image_service_pb2.IngestImagesResponse(error=problem)
        if new.content.startswith(b"alike"):
            image = next(iter(self.images[parent].values()))
            return image_service_pb2.IngestImagesResponse(image=image, near_duplicate_of=image.name)
        image, duplicate = self._store(parent, new)
        return image_service_pb2.IngestImagesResponse(image=image, duplicate=duplicate)

    def _store(self, parent: str, new: image_service_pb2.NewImage) -> tuple[image_pb2.Image, bool]:
        sha256 = hashlib.sha256(new.content or new.uri.encode()).hexdigest()
        name = f"{parent}/images/{uuid.uuid5(uuid.NAMESPACE_OID, sha256)}"
        images = self.images[parent]
        duplicate = name in images
        if not duplicate:
            metadata = image_pb2.ImageMetadata(width=2, height=1, format="PNG", byte_size=len(new.content))
            images[name] = image_pb2.Image(name=name, sha256=sha256, uri=new.uri, metadata=metadata)
        image = images[name]
        image.tags.extend(tag for tag in new.tags if tag not in image.tags)
        for key, value in new.attributes.items():
            image.attributes[key].CopyFrom(value)
        if new.uri not in (image.uri, *image.also_at):
            image.also_at.append(new.uri)
        return image, duplicate
