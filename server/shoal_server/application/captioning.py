"""Names for clusters out of captions of their typical images."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from uuid import UUID

from shoal_server.application.ports import Captioner, FileKind, ImageDecoder, ImageFiles
from shoal_server.domain.errors import FileNotKept, UnreadableImage
from shoal_server.domain.image import Pixels
from shoal_server.domain.naming_captions import name_from_captions

#: Captions that are remembered: typical images mostly stay the same from run to run.
_REMEMBERED = 20_000


class Captioning:
    """Looks at thumbnails and says what the clusters they are of may be called."""

    def __init__(self, captioner: Captioner, files: ImageFiles, decoder: ImageDecoder) -> None:
        """Args:
        captioner: says what images show.
        files: with the thumbnails.
        decoder: of those.
        """
        self._captioner = captioner
        self._files = files
        self._decoder = decoder
        self._captions: OrderedDict[UUID, str] = OrderedDict()

    async def names(self, collection: str, typical: Mapping[int, Sequence[UUID]]) -> dict[int, str]:
        """A name for each cluster whose typical images' captions agree on one.

        Args:
            collection: of the clusters.
            typical: images by cluster id; those without a thumbnail are passed over.
        """
        names = {}
        for cluster, images in typical.items():
            captions = await self._captions_of(collection, images)
            if name := name_from_captions(captions):
                names[cluster] = name
        return names

    async def _captions_of(self, collection: str, images: Sequence[UUID]) -> list[str]:
        looked_at = {}
        for image in images:
            if image not in self._captions and (pixels := await self._thumbnail(collection, image)) is not None:
                looked_at[image] = pixels
        if looked_at:
            found = await asyncio.to_thread(self._captioner.caption, list(looked_at.values()))
            self._captions.update(zip(looked_at, found, strict=True))
        captions = [self._captions[image] for image in images if image in self._captions]
        while len(self._captions) > _REMEMBERED:
            self._captions.popitem(last=False)
        return captions

    async def _thumbnail(self, collection: str, image: UUID) -> Pixels | None:
        try:
            content = b"".join([part async for part in self._files.read(collection, image, FileKind.THUMBNAIL)])
            return (await self._decoder.decode(content)).pixels
        except (FileNotKept, UnreadableImage):
            return None
