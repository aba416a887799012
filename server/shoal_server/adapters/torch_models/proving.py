"""What is found out about a model before it serves: what its precision costs, and how many images a pass takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from shoal_server.adapters.torch_models.batch_size import find_batch_size
from shoal_server.adapters.torch_models.engine import TorchEngine
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import ModelUnavailable
from shoal_server.domain.image import Pixels

#: Cosine similarity that each vector of the sample has to its own in float32, at least.
_FAITHFUL = 0.999
_TEXTS = ("a photo of a dog", "a red car in front of a house", "mountains", "two people at a table, eating")
_PICTURES = 4
#: Passes of which the quickest counts.
_TRIES = 3

_logger = logging.getLogger(__name__)


def prove(spec: str, engine: TorchEngine) -> None:
    """Compares an engine's precision with float32 on a sample; on a GPU, also finds the batch size.

    Raises:
        ModelUnavailable: the vectors of the sample are too far from those in float32.
    """
    device, precision = engine.device, engine.model.precision
    if precision is Precision.FP32 and not device.is_gpu:
        return
    inputs = [engine.preprocess(picture) for picture in sample_pictures(engine.input_side)]

    def vectors() -> Any:
        images = engine.embed_images(inputs)
        return np.concatenate([images, engine.embed_texts(_TEXTS)]) if engine.model.reads_text else images

    if precision is not Precision.FP32:
        with device.exactly():
            exact, exact_s = vectors(), _quickest(lambda: engine.embed_images(inputs))
        cosine, low_s = float((exact * vectors()).sum(axis=1).min()), _quickest(lambda: engine.embed_images(inputs))
        # Not a number is no more than the bound either.
        if not cosine >= _FAITHFUL:
            raise ModelUnavailable(
                spec,
                f"in {precision.value} its vectors are too far from those in fp32 (cosine similarity {cosine:.4f} on a "
                f"sample, and {_FAITHFUL:g} is the least); use SHOAL_PRECISION=fp32",
            )
        _logger.log(
            logging.INFO if low_s < exact_s else logging.WARNING,
            "model %s in %s: cosine similarity to fp32 at least %.6f on a sample, %.2f times as fast here%s",
            engine.model.name,
            precision.value,
            cosine,
            exact_s / low_s,
            "" if low_s < exact_s else "; SHOAL_PRECISION=fp32 would be no slower",
        )
    if device.is_gpu:
        engine.gpu_pass = find_batch_size(lambda count: _pass_s(engine, [inputs[0]] * count))
        _logger.info("model %s: %d images in a pass", engine.model.name, engine.gpu_pass)


def sample_pictures(side: int) -> list[Pixels]:
    """Pictures with structure at all scales and in all colours, the same each time; uint8 (side, side, 3).

    Noise whose power falls with the square of the frequency, as that of photographs does (Field 1987).
    """
    generator = np.random.default_rng(20)
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])[:, :, None]
    amplitudes = 1 / np.maximum(frequencies, 1 / side)
    pictures = []
    for _ in range(_PICTURES):
        phases = np.exp(2j * np.pi * generator.random((side, side // 2 + 1, 3)))
        waves = np.fft.irfft2(amplitudes * phases, s=(side, side), axes=(0, 1))
        low, high = waves.min(axis=(0, 1)), waves.max(axis=(0, 1))
        pictures.append(((waves - low) / (high - low) * 255).astype(np.uint8))
    return pictures


def _pass_s(engine: TorchEngine, inputs: list[Any]) -> float:
    import torch

    try:
        return _quickest(lambda: engine.embed_images(inputs))
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError from error


def _quickest(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_TRIES):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
