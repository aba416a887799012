"""A model whose towers run in ONNX Runtime, on the CPU."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.onnx_runtime.exportable import Ends, Exportable
from shoal_server.adapters.onnx_runtime.exporting import OPSET
from shoal_server.adapters.onnx_runtime.graph import Graph, cores_here
from shoal_server.adapters.onnx_runtime.kept import Kept, kept_or_made
from shoal_server.adapters.onnx_runtime.making import IMAGES, TEXT, make
from shoal_server.application.ports import EmbeddingEngine
from shoal_server.domain.collection import EmbeddingModel, Precision
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels

#: Mean cosine similarity to fp32 on the sample, of images and of texts, that int8 has at least.
ENOUGH = 0.98
#: Images in one pass. By processor time, 2, 4 and 8 are within a tenth of one another for ViT-B-32 in fp32, for it
#: in int8 and for the starter; whoever comes next waits for a pass of 4 half as long as for one of 8.
_PASS = 4
#: Raised whenever the same versions of the libraries would export another model.
_METHOD = 1
#: What exports, rounds and runs; another version may do so differently.
_LIBRARIES = ("onnx", "onnxruntime", "onnxscript", "torch")

_logger = logging.getLogger(__name__)


class OnnxEngine(EmbeddingEngine):
    """A model in fp32 or, its weights and activations rounded, in int8."""

    def __init__(self, model: EmbeddingModel, ends: Ends, images: Graph, texts: Graph) -> None:
        """Takes the parts as they are; :meth:`load` makes them.

        Args:
            model: what collections record.
            ends: preprocessing and tokenizer.
            images: the image tower.
            texts: the text tower.
        """
        self._model = model
        self._ends = ends
        self._images = images
        self._texts = texts

    @classmethod
    def load(cls, source: Exportable, cache: Path, precision: Precision = Precision.FP32) -> Self:
        """The model as it is kept; the first time it is exported, which takes up to minutes and needs PyTorch.

        Args:
            source: the model.
            cache: folder that exported models are kept in. A folder in it is as large as the model; it may be deleted
                when no server runs.
            precision: fp32 or int8.

        Raises:
            ModelUnavailable: it cannot be loaded or exported, or its vectors are too far from what they should be, or
                the cache cannot be written; the message says what to do.
            MissingExtra: ONNX Runtime is not installed.
        """
        name = source.model.name
        try:
            import onnx
            import onnxruntime
            import onnxscript
        except ModuleNotFoundError as error:
            raise MissingExtra(f"model {name!r} in ONNX Runtime", "server") from error
        del onnx, onnxruntime, onnxscript
        if precision not in (Precision.FP32, Precision.INT8):
            raise ModelUnavailable(
                name,
                f"ONNX Runtime computes in fp32 and int8 here, not in {precision.value}; change SHOAL_PRECISION, or "
                "leave out SHOAL_RUNTIME=onnx",
            )
        folder = cache / _folder_name(source, precision)

        def export(into: Path) -> Mapping[str, Any]:
            _logger.info("model %s is exported to ONNX in %s, which is done once", name, precision.value)
            return make(source, precision, into)

        try:
            kept = kept_or_made(folder, export)
        except OSError as error:
            raise ModelUnavailable(
                name,
                f"the exported model cannot be kept in {cache} ({error}); make room there, or give SHOAL_CACHE another "
                "folder",
            ) from error
        if precision is Precision.INT8:
            _judge(name, kept)
        cores = cores_here()
        ends = source.ends(kept.notes["recipe"])
        images, texts = (Graph(kept.folder / tower, cores) for tower in (IMAGES, TEXT))
        return cls(replace(source.model, precision=precision), ends, images, texts)

    @property
    def model(self) -> EmbeddingModel:
        """As in PyTorch, but for the precision."""
        return self._model

    @property
    def input_side(self) -> int:
        """As in PyTorch."""
        return self._ends.input_side

    @property
    def passes_at_once(self) -> int:
        """As many as there are cores, each pass on one."""
        return self._images.cores

    @property
    def batch_size(self) -> int:
        """As many as it takes to keep a core busy."""
        return _PASS

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """As in PyTorch."""
        return self._ends.preprocess(pixels)

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Preprocessed images to unit vectors, float32 (len(inputs), dimension)."""
        if not inputs:
            return np.empty((0, self._model.dimension), np.float32)
        return self._images([np.stack(inputs)])

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to unit vectors, float32 (len(texts), dimension). What is beyond the model's context is cut off."""
        if not texts:
            return np.empty((0, self._model.dimension), np.float32)
        return self._texts(self._ends.tokenize(texts))


def _folder_name(source: Exportable, precision: Precision) -> str:
    """Says to people which model it is, and is another one whenever its files would be."""
    versions = {library: version(library) for library in _LIBRARIES}
    decides = [source.model.digest, source.fingerprint, versions, OPSET, _METHOD]
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", source.model.name).strip(".-")[:60]
    return f"{readable}-{precision.value}-{key[:16]}"


def _judge(name: str, kept: Kept) -> None:
    """Logs what int8 loses.

    Raises:
        ModelUnavailable: it is too much.
    """
    loss = kept.notes["to_fp32"]
    figures = ", ".join(f"{kind} {each['mean']:.4f} (least {each['least']:.4f})" for kind, each in loss.items())
    # Not a number is no more than the bound either.
    if not all(each["mean"] >= ENOUGH for each in loss.values()):
        raise ModelUnavailable(
            name,
            f"in int8 its vectors are too far from those in fp32: mean cosine similarity on a sample of {figures}, and "
            f"{ENOUGH:g} is the least; use SHOAL_PRECISION=fp32",
        )
    _logger.info("model %s in int8: mean cosine similarity to fp32 on a sample of %s", name, figures)
