"""The networks of open_clip models as they are exported."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from open_clip.transform import PreprocessCfg

from shoal_server.adapters.torch_models.open_clip_engine import OpenClipEngine


class OpenClipTowers(OpenClipEngine):
    """The engine, and its networks."""

    @property
    def image_tower(self) -> torch.nn.Module:
        """Preprocessed images (n, 3, height, width) to unit vectors."""
        return _ImageTower(self._network)

    @property
    def text_tower(self) -> torch.nn.Module:
        """Tokens (n, context) to unit vectors."""
        return _TextTower(self._network)

    @property
    def recipe(self) -> dict[str, Any]:
        """How images are prepared."""
        return asdict(PreprocessCfg(**self._network.visual.preprocess_cfg))


class _ImageTower(torch.nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._network.encode_image(images, normalize=True)
        return vectors


class _TextTower(torch.nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network = network

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._network.encode_text(tokens, normalize=True)
        return vectors
