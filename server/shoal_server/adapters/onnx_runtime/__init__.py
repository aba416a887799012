"""Models that run in ONNX Runtime, exported from PyTorch once and kept: https://onnxruntime.ai."""

from shoal_server.adapters.onnx_runtime.engine import OnnxEngine
from shoal_server.adapters.onnx_runtime.exportable import Ends, Exportable, Towers

__all__ = ["Ends", "Exportable", "OnnxEngine", "Towers"]
