"""Models that run in PyTorch, each loaded by the library that it comes from."""

from shoal_server.adapters.torch_models.open_clip_engine import OpenClipEngine
from shoal_server.adapters.torch_models.open_clip_model import OpenClipModel
from shoal_server.adapters.torch_models.timm_engine import TimmEngine
from shoal_server.adapters.torch_models.transformers_engine import TransformersEngine

__all__ = ["OpenClipEngine", "OpenClipModel", "TimmEngine", "TransformersEngine"]
