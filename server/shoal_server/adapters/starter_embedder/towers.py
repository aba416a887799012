"""The starter's networks as they are exported: as published, which other runtimes optimise by themselves."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from torch.nn import functional

from shoal_server.adapters.starter_embedder.engine import StarterEngine
from shoal_server.adapters.starter_embedder.weights import FEATURES, MEANING_SHARE, verified_weights


class StarterTowers(StarterEngine):
    """The engine on the CPU, and its networks."""

    def __init__(self, cache: Path | None = None) -> None:
        """Loads the weights, as the engine does."""
        super().__init__(cache, on_gpu=False)
        image_weights, _ = verified_weights()
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(BytesIO(image_weights), weights_only=True, map_location="cpu"))
        encoder: Any = self._sentences[0]
        self.image_tower = _ImageTower(network.eval(), self._classes)
        self.text_tower = _TextTower(encoder.auto_model.eval(), self._mean_meaning)
        self.recipe: dict[str, Any] = {}


class _ImageTower(torch.nn.Module):
    """Preprocessed images (n, 224, 224, 3) to unit vectors (n, 1664)."""

    _classes: torch.Tensor

    def __init__(self, network: Any, classes: torch.Tensor) -> None:
        super().__init__()
        self._network = network
        self.register_buffer("_classes", classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = self._network.extract_features(images.permute(0, 3, 1, 2)).mean(dim=(2, 3))
        meaning = torch.softmax(self._network._fc(pooled), dim=1) @ self._classes
        parts = [
            functional.normalize(pooled, dim=1) * (1 - MEANING_SHARE) ** 0.5,
            functional.normalize(meaning, dim=1) * MEANING_SHARE**0.5,
        ]
        return torch.cat(parts, dim=1)


class _TextTower(torch.nn.Module):
    """Tokens and their mask (n, length) to unit vectors (n, 1664)."""

    _mean_meaning: torch.Tensor

    def __init__(self, encoder: Any, mean_meaning: NDArray[np.float32]) -> None:
        super().__init__()
        self._encoder = encoder
        self.register_buffer("_mean_meaning", torch.from_numpy(mean_meaning))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        words = self._encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        there = mask.unsqueeze(-1).to(words.dtype)
        meaning = functional.normalize((words * there).sum(dim=1) / there.sum(dim=1), dim=1) - self._mean_meaning
        return functional.pad(functional.normalize(meaning, dim=1), (FEATURES, 0))
