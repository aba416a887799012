"""The starter model, for other runtimes than PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal_server.adapters.starter_embedder.inputs import StarterInputs
from shoal_server.adapters.starter_embedder.weights import model_of_weights, verified_weights
from shoal_server.domain.collection import EmbeddingModel

if TYPE_CHECKING:
    from shoal_server.adapters.starter_embedder.towers import StarterTowers


class StarterModel:
    """Its weights, found to be the published ones; they are not loaded into networks yet."""

    def __init__(self, cache: Path | None = None) -> None:
        """Finds the installed packages.

        Args:
            cache: as for the engine.

        Raises:
            MissingExtra: a package is not installed.
            ModelUnavailable: a weight file is not the one that was published.
        """
        self._cache = cache
        _, self._text_folder = verified_weights()

    @property
    def model(self) -> EmbeddingModel:
        """As the engine's."""
        return model_of_weights()

    @property
    def fingerprint(self) -> str:
        """The version of open_clip, which has corrected class names before."""
        return version("open_clip_torch")

    def load(self) -> StarterTowers:
        """The networks in PyTorch.

        Raises:
            MissingExtra: a package is not installed.
        """
        # Here, for it imports PyTorch.
        from shoal_server.adapters.starter_embedder.towers import StarterTowers

        return StarterTowers(self._cache)

    def ends(self, recipe: Mapping[str, Any]) -> StarterInputs:
        """Preprocessing and tokenizer."""
        return StarterInputs(self._text_folder)
