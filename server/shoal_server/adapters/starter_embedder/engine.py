"""The starter model in PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.starter_embedder.features import Features
from shoal_server.adapters.starter_embedder.inputs import SIDE, preprocess
from shoal_server.adapters.starter_embedder.meanings import class_texts, read_matrix, write_matrix
from shoal_server.adapters.starter_embedder.weights import (
    FEATURES,
    MEANING_SHARE,
    NAME,
    model_of_weights,
    verified_weights,
)
from shoal_server.application.ports import EmbeddingEngine
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import MissingExtra
from shoal_server.domain.image import Pixels
from shoal_server.hugging_face import without_progress_bars

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

#: Images in one pass on a CPU. The activations of more fall out of its caches, and are so large that their memory is
#: fetched from the system anew each time: on one core 60 images/s with 2, 46 with 8.
_CPU_PASS = 2
#: Larger batches waste less on the 2-core machines this model is for.
_TEXT_BATCH = 256


class StarterEngine(EmbeddingEngine):
    """EfficientNet-Lite0 features with their meaning by all-MiniLM-L6-v2; 1,664 dimensions.

    An image is ``[a * v, b * c]``: v the unit pooled features (1,280), c the unit expected meaning of the class
    (384), a^2 = 0.9 and b^2 = 0.1. A text is ``[0, t]``. So the cosine similarity of an image and a text is at most
    b = 0.32, and that of two images is ruled by what they look like.

    Sources: https://arxiv.org/abs/1905.11946 (EfficientNet; Lite0 is the variant of the TensorFlow TPU repository),
    https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
    """

    def __init__(self, cache: Path | None = None, *, on_gpu: bool = True) -> None:
        """Loads the weights from the installed packages; nothing is downloaded.

        Args:
            cache: folder that keeps the meanings of the 1,000 class names, 1.5 MB, which otherwise take seconds to
                compute at every start. None keeps nothing.
            on_gpu: whether a GPU is used if there is one.

        Raises:
            MissingExtra: a package is not installed.
            ModelUnavailable: a weight file is not the one that was published.
        """
        image_weights, text_folder = verified_weights()
        self._model = model_of_weights()
        try:
            import torch
            from efficientnet_lite_pytorch import EfficientNet
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise MissingExtra(f"model {NAME!r}", "server") from error
        self._torch = torch
        self._device = "cuda" if on_gpu and torch.cuda.is_available() else "cpu"

        weights = torch.load(BytesIO(image_weights), weights_only=True, map_location="cpu")
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(weights)
        self._features = Features(network.eval().to(self._device))
        self._cores = torch.get_num_threads()
        self._class_weight: torch.Tensor = weights["_fc.weight"].to(self._device)
        self._class_bias: torch.Tensor = weights["_fc.bias"].to(self._device)

        with without_progress_bars():
            self._sentences: SentenceTransformer = SentenceTransformer(
                str(text_folder), device=self._device, local_files_only=True
            )
        classes = self._class_meanings(cache)
        self._mean_meaning: NDArray[np.float32] = classes.mean(axis=0)
        self._classes = torch.from_numpy(classes - self._mean_meaning).to(self._device)

    @property
    def model(self) -> EmbeddingModel:
        """``starter``; the digest covers both weight files and the method."""
        return self._model

    @property
    def input_side(self) -> int:
        """Pixels of the square that is looked at."""
        return SIDE

    @property
    def passes_at_once(self) -> int:
        """As many as there are cores, each pass on one: the network is too small to be shared out among them."""
        return 1 if self._device == "cuda" else self._cores

    @property
    def batch_size(self) -> int:
        """As many as a CPU's caches hold the activations of; any number on a GPU."""
        return sys.maxsize if self._device == "cuda" else _CPU_PASS

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """The central square, scaled to 224 x 224 (bicubic), about -1 to 1; float32 (224, 224, 3)."""
        return preprocess(pixels)

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Preprocessed images to unit vectors, float32 (len(inputs), 1664)."""
        if not inputs:
            return np.empty((0, self._model.dimension), np.float32)
        # For this thread. Where threads share a pass, they wait for one another a hundred times in it, spinning.
        self._torch.set_num_threads(1)
        parts = [
            self._pass(inputs[start : start + self.batch_size]) for start in range(0, len(inputs), self.batch_size)
        ]
        return np.concatenate(parts)

    def _pass(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        torch = self._torch
        with torch.inference_mode():
            # (n, height, width, 3) seen as (n, 3, height, width) is the channels-last layout: nothing is copied.
            batch = torch.from_numpy(np.stack(inputs)).permute(0, 3, 1, 2).to(self._device)
            pooled = self._features(batch).mean(dim=(2, 3))
            logits = torch.nn.functional.linear(pooled, self._class_weight, self._class_bias)
            meaning = torch.softmax(logits, dim=1) @ self._classes
            unit = torch.nn.functional.normalize
            parts = [
                unit(pooled, dim=1) * (1 - MEANING_SHARE) ** 0.5,
                unit(meaning, dim=1) * MEANING_SHARE**0.5,
            ]
            vectors: NDArray[np.float32] = torch.cat(parts, dim=1).cpu().numpy()
        return vectors

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to unit vectors, float32 (len(texts), 1664).

        A text is taken as it is. Averaging it over prompt templates, as CLIP's users do, made no difference here.
        """
        vectors = np.zeros((len(texts), self._model.dimension), np.float32)
        if texts:
            self._torch.set_num_threads(self._cores)
            meanings = self._encode(texts) - self._mean_meaning
            vectors[:, FEATURES:] = meanings / np.linalg.norm(meanings, axis=1, keepdims=True)
        return vectors

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = self._sentences.encode(
            list(texts), batch_size=_TEXT_BATCH, show_progress_bar=False, normalize_embeddings=True
        )
        return np.asarray(encoded, np.float32)

    def _class_meanings(self, cache: Path | None) -> NDArray[np.float32]:
        """Unit meanings of the 1,000 ImageNet classes in the classifier's order, float32 (1000, 384)."""
        if cache is None:
            return self._encode(class_texts())
        # open_clip has corrected class names before, so its version belongs to the key.
        file = cache / f"starter-classes-{self._model.digest[7:23]}-{version('open_clip_torch')}.npy"
        kept = read_matrix(file)
        if kept is None:
            kept = self._encode(class_texts())
            write_matrix(file, kept)
        return kept
