"""What all models in PyTorch have in common."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from shoal_server.adapters.torch_models.device import Device
from shoal_server.application.ports import EmbeddingEngine
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import ReadsNoText
from shoal_server.domain.image import Pixels

if TYPE_CHECKING:
    import torch

_MAX_ASPECT = 8
#: Images in one pass on a CPU. On two cores ViT-B-32 embeds a fifth more in a second than with 4, and no more with 32.
_CPU_PASS = 16


class TorchEngine(EmbeddingEngine):
    """A network on a device; the libraries differ in how images and texts come in and features come out.

    Attributes:
        device: where it runs, and how.
        gpu_pass: images in one pass on a GPU.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        network: torch.nn.Module,
        transform: Callable[[PillowImage.Image], torch.Tensor],
        device: Device,
    ) -> None:
        """Takes the parts as they are.

        Args:
            model: what collections record.
            network: of the library.
            transform: the library's preprocessing for inference: an RGB image to float32 (3, height, width).
            device: where it runs, and how.
        """
        self._model = model
        self._network: Any = device.settled(network)
        self._transform = transform
        self.device = device
        self.gpu_pass = sys.maxsize

    @abstractmethod
    def _image_features(self, batch: torch.Tensor) -> torch.Tensor:
        """Features (n, dimension) of any length, of preprocessed images (n, 3, height, width)."""

    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """Features (n, dimension) of any length.

        Raises:
            ReadsNoText: unless the library's class says otherwise.
        """
        raise ReadsNoText(self._model.name)

    @property
    def model(self) -> EmbeddingModel:
        """The spec without folders; the digest is that of the weights' files."""
        return self._model

    @property
    def passes_at_once(self) -> int:
        """As many as a CPU has cores; one on a GPU."""
        return 1 if self.device.is_gpu else self.device.cores

    @property
    def batch_size(self) -> int:
        """As many as it takes to keep a CPU's core busy; on a GPU, from where on more bring hardly anything."""
        return self.gpu_pass if self.device.is_gpu else _CPU_PASS

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """Scaled, cropped and normalised as the model was trained; float32 (3, height, width)."""
        return preprocessed(pixels, self._transform)

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Preprocessed images to unit vectors, float32 (len(inputs), dimension)."""
        if not inputs:
            return np.empty((0, self._model.dimension), np.float32)
        with self.device.passing(len(inputs)):
            return _unit(self._image_features(self.device.batch(inputs)))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to unit vectors, float32 (len(texts), dimension). What is beyond the model's context is cut off.

        Raises:
            ReadsNoText: it looks at images only.
        """
        if not self._model.reads_text:
            raise ReadsNoText(self._model.name)
        if not texts:
            return np.empty((0, self._model.dimension), np.float32)
        with self.device.passing(len(texts)):
            return _unit(self._text_features(list(texts)))


def preprocessed(pixels: Pixels, transform: Callable[[PillowImage.Image], torch.Tensor]) -> NDArray[np.float32]:
    """An image as a library prepares it; float32 (3, height, width).

    Of an image over eight times as long as wide only the middle is taken: scaled by its short side, a strip of
    1 x 60,000 pixels would need gigabytes.
    """
    import torch

    # For this thread: sharing these few numbers out among threads takes longer than working on them.
    torch.set_num_threads(1)
    height, width = pixels.shape[:2]
    longest = _MAX_ASPECT * min(height, width)
    top, left = max(height - longest, 0) // 2, max(width - longest, 0) // 2
    middle = pixels[top : top + longest, left : left + longest]
    array: NDArray[np.float32] = transform(PillowImage.fromarray(middle)).numpy()
    return array


def _unit(features: torch.Tensor) -> NDArray[np.float32]:
    import torch

    # In float32: of half as many bits, the length would be off by a thousandth.
    array: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return array
