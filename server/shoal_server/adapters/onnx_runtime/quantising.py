"""Weights of 8 bits, and activations rounded to 8 bits as they come (dynamic quantisation).

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shoal_server.adapters.onnx_runtime.exporting import without_remarks

#: Weight matrices. Convolutions stay as they are: ONNX Runtime has no fast kernel for those with activations that are
#: rounded as they come, and the one of a vision transformer is a thirtieth of its work.
_OPERATORS = ("MatMul", "Gemm")
#: Files of ONNX end at 2 GiB; beyond, the weights have one of their own.
_LARGE = 2**31


def quantise(source: Path, file: Path, operators: Sequence[str] = _OPERATORS) -> None:
    """Writes a model in int8.

    A scale for each column of a weight matrix instead of one for all costs no time and loses less.

    Args:
        source: the model in float32, in a folder of its own.
        file: to write.
        operators: types of the operators whose weights are rounded.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(str(source), load_external_data=False)
    # The quantiser would advise to optimise the model first, which ONNX Runtime does whenever it loads one.
    onnx.helper.set_model_props(graph, {"onnx.quant.pre_process": "onnxruntime.quant"})
    source.write_bytes(graph.SerializeToString())
    with without_remarks():
        quantize_dynamic(
            str(source),
            str(file),
            op_types_to_quantize=list(operators),
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=sum(part.stat().st_size for part in source.parent.iterdir()) >= _LARGE,
        )
