"""Models and words, loaded by their names."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from shoal_server.application.ports import Captioner, EmbeddingEngine
from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import InvalidField, ModelUnavailable
from shoal_server.domain.naming import Vocabulary, parse_vocabulary
from shoal_server.settings import Settings
from shoal_server.settings.images import Runtime


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

        try:
            return DebugEngine(int(dimension)) if dimension else DebugEngine()
        except ValueError as error:
            raise ModelUnavailable(model, str(error)) from error
    if model == "starter":
        from shoal_server.adapters.starter_embedder import StarterEngine

        return StarterEngine(cache)
    from shoal_server.adapters.open_clip_embedder import OpenClipEngine

    return OpenClipEngine.load(model)


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
