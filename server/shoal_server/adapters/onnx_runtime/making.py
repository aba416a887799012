"""An exported model, made and checked."""

from __future__ import annotations

import gc
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.onnx_runtime.checking import TEXTS, Closeness, photographs
from shoal_server.adapters.onnx_runtime.exportable import Ends, Exportable, Towers
from shoal_server.adapters.onnx_runtime.exporting import export
from shoal_server.adapters.onnx_runtime.graph import Graph, cores_here
from shoal_server.adapters.onnx_runtime.quantising import quantise
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import ModelUnavailable

IMAGES = "images.onnx"
TEXT = "texts.onnx"
#: Cosine similarity that each vector of the sample has to the one by PyTorch, at least.
FAITHFUL = 0.9999
#: Pictures of the sample that PyTorch computes too. It takes seconds for each where the model is a large one.
_BY_TORCH = 6

_logger = logging.getLogger(__name__)

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]


def make(source: Exportable, precision: Precision, folder: Path) -> Mapping[str, Any]:
    """Exports both towers into a folder.

    Returns:
        ``recipe``: what the ends are made of; ``to_torch``: how close the vectors in fp32 are to PyTorch's; for int8,
        ``to_fp32``: how close its vectors are to those. Each closeness is of ``images`` and of ``texts``.

    Raises:
        ModelUnavailable: the model cannot be loaded or exported, or gives other vectors once it is.
    """
    name = source.model.name
    way_out = "use SHOAL_RUNTIME=torch" + (" with SHOAL_PRECISION=fp32" if precision is Precision.INT8 else "")
    towers = source.load()
    recipe = dict(towers.recipe)
    ends = source.ends(recipe)
    # int8 is made from fp32, which nobody needs afterwards.
    with tempfile.TemporaryDirectory(dir=folder.parent) as other:
        exported = folder if precision is Precision.FP32 else Path(other)
        try:
            _export(towers, ends, exported)
            exact = _vectors(exported, ends)
        except Exception as error:
            problem = next(iter(str(error).splitlines()), type(error).__name__)
            raise ModelUnavailable(name, f"it could not be exported to ONNX ({problem}); {way_out}") from error
        to_torch = _compared(exact, _by_torch(towers, ends))
        # Not a number is no more than the bound either.
        if not all(each.least >= FAITHFUL for each in to_torch.values()):
            figures = ", ".join(f"{kind} {each.least:.5f}" for kind, each in to_torch.items())
            raise ModelUnavailable(
                name,
                f"exported to ONNX, its vectors differ from PyTorch's (least cosine similarity on a sample: {figures}; "
                f"{FAITHFUL:g} is wanted); {way_out}",
            )
        notes = {"recipe": recipe, "to_torch": _plain(to_torch)}
        # Its weights would be in memory a second time while they are rounded.
        del towers
        gc.collect()
        if precision is Precision.INT8:
            for tower in (IMAGES, TEXT):
                quantise(exported / tower, folder / tower)
            notes["to_fp32"] = _plain(_compared(_vectors(folder, ends), exact))
    return notes


def _export(towers: Towers, ends: Ends, folder: Path) -> None:
    inputs = np.stack([ends.preprocess(picture) for picture in photographs()[:2]])
    export(towers.image_tower, [inputs], folder / IMAGES)
    short, long = ends.tokenize(["a"]), ends.tokenize(["a word " * 10])
    export(
        towers.text_tower,
        ends.tokenize(TEXTS[:2]),
        folder / TEXT,
        ragged=short[0].shape[1] != long[0].shape[1],
    )


def _vectors(folder: Path, ends: Ends) -> Vectors:
    """Of the sample, computed as the engine does: most alone on all cores, the last in one pass on one core."""
    cores = cores_here()
    inputs = [ends.preprocess(picture)[None] for picture in photographs()]
    images = Graph(folder / IMAGES, cores)
    by_image = [images([each]) for each in inputs[:-2]] + [images([np.concatenate(inputs[-2:])])]
    texts = Graph(folder / TEXT, cores)
    by_text = [texts(ends.tokenize([text])) for text in TEXTS[:-2]] + [texts(ends.tokenize(TEXTS[-2:]))]
    return np.concatenate(by_image), np.concatenate(by_text)


def _by_torch(towers: Towers, ends: Ends) -> Vectors:
    inputs = [ends.preprocess(picture) for picture in photographs()[:_BY_TORCH]]
    return np.concatenate([towers.embed_images([each]) for each in inputs]), towers.embed_texts(TEXTS)


def _compared(vectors: Vectors, exact: Vectors) -> dict[str, Closeness]:
    """By kind of input; of the images, as many as there are exact vectors."""
    images, texts = vectors
    exact_images, exact_texts = exact
    return {
        "images": Closeness.between(images[: len(exact_images)], exact_images),
        "texts": Closeness.between(texts, exact_texts),
    }


def _plain(closeness: Mapping[str, Closeness]) -> dict[str, dict[str, float]]:
    return {kind: asdict(each) for kind, each in closeness.items()}
