"""Models and words, loaded by their names."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_server.application.ports import Captioner, EmbeddingEngine
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import InvalidField, ModelUnavailable
from shoal_server.domain.naming import Vocabulary, parse_vocabulary
from shoal_server.settings import Settings
from shoal_server.settings.images import Runtime

if TYPE_CHECKING:
    from shoal_server.adapters.onnx_runtime import Exportable


def load_engine(
    model: str, cache: Path, precision: Precision = Precision.FP32, runtime: Runtime = Runtime.AUTO
) -> EmbeddingEngine:
    """The engine of a model's name; takes seconds.

    Args:
        model: as in the settings.
        cache: folder for what can be computed again.
        precision: what it computes with.
        runtime: what runs it.

    Raises:
        ModelUnavailable: it cannot be loaded; the message says what to do.
    """
    # Imported here: each brings its own framework, and only one is used.
    name, _, dimension = model.partition("/")
    if name == "debug" and (not dimension or dimension.isdecimal()):
        from shoal_server.adapters.debug_embedder import DebugEngine

        _check_precision(model, precision, Precision.FP32)
        _check_torch(model, runtime, "neither PyTorch nor ONNX Runtime runs it")
        try:
            return DebugEngine(int(dimension)) if dimension else DebugEngine()
        except ValueError as error:
            raise ModelUnavailable(model, str(error)) from error
    if model == "starter":
        return _load_starter(cache, precision, runtime)
    from shoal_server.adapters.torch_models import OpenClipEngine, OpenClipModel, TimmEngine, TransformersEngine

    for prefix, engine in (("timm/", TimmEngine), ("transformers:", TransformersEngine)):
        if model.startswith(prefix):
            _check_precision(model, precision, Precision.FP32, Precision.FP16, Precision.BF16)
            _check_torch(model, runtime, "it runs in PyTorch only")
            return engine.load(model, precision)
    if runtime is Runtime.AUTO and precision is Precision.INT8 and _has_gpu():
        raise ModelUnavailable(
            model,
            "int8 runs on the CPU, and there is a GPU here; use SHOAL_PRECISION=fp16 on that, or SHOAL_RUNTIME=onnx if "
            "the CPU is meant",
        )
    # On a CPU fp32 is about as fast in either, and PyTorch needs no export.
    if runtime is Runtime.ONNX or (runtime is Runtime.AUTO and precision is Precision.INT8):
        return _load_exported(OpenClipModel.find(model), cache, precision)
    return OpenClipEngine.load(model, precision)


def _load_starter(cache: Path, precision: Precision, runtime: Runtime) -> EmbeddingEngine:
    from shoal_server.adapters.starter_embedder import StarterEngine, StarterModel

    _check_precision("starter", precision, Precision.FP32)
    # Faster in ONNX Runtime, but its export takes longer than the first hundred images, and this is the model that
    # people try Shoal with.
    if runtime is Runtime.ONNX:
        return _load_exported(StarterModel(cache), cache, precision)
    return StarterEngine(cache)


def _load_exported(model: Exportable, cache: Path, precision: Precision) -> EmbeddingEngine:
    from shoal_server.adapters.onnx_runtime import OnnxEngine

    return OnnxEngine.load(model, cache / "onnx", precision)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _check_precision(model: str, precision: Precision, *offered: Precision) -> None:
    if precision not in offered:
        known = " or ".join(each.value for each in offered)
        raise ModelUnavailable(model, f"it computes in {known}, not in {precision.value}; change SHOAL_PRECISION")


def _check_torch(model: str, runtime: Runtime, problem: str) -> None:
    if runtime is Runtime.ONNX:
        raise ModelUnavailable(model, f"{problem}; leave out SHOAL_RUNTIME=onnx")


def load_captioner(model: str) -> Captioner:
    """The captioner of a model's name; takes seconds."""
    from shoal_server.adapters.blip_captioner import BlipCaptioner

    return BlipCaptioner.load(model)


def load_vocabulary(settings: Settings) -> Vocabulary:
    """The words that clusters are named with.

    Raises:
        InvalidField: the file that was given cannot be read.
    """
    if settings.vocabulary is not None:
        try:
            return parse_vocabulary(settings.vocabulary.read_text(encoding="utf-8"))
        except (OSError, UnicodeError) as error:
            raise InvalidField("SHOAL_VOCABULARY", f"{settings.vocabulary} cannot be read: {error}") from error
    shipped = importlib.resources.files("shoal_server.vocabulary") / "en.txt"
    return parse_vocabulary(shipped.read_text(encoding="utf-8"))
