"""From PyTorch to ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Of the operators; fixed, so that another version of the exporter does not change what is run. 20 has Gelu.
OPSET = 20


def export(tower: Any, arguments: Sequence[NDArray[Any]], file: Path, *, ragged: bool = False) -> None:
    """Writes a tower as an ONNX model; its weights are in a file beside it, which may be larger than 2 GiB.

    Args:
        tower: a ``torch.nn.Module`` on the CPU that returns one tensor.
        arguments: a batch of two or more, as an example; any number may be run.
        file: to write, ``*.onnx``.
        ragged: whether the second axis differs from batch to batch too.
    """
    import torch

    sizes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if ragged:
        sizes[1] = torch.export.Dim("length")
    example = tuple(torch.from_numpy(np.ascontiguousarray(argument)) for argument in arguments)
    with without_remarks(), torch.no_grad():
        torch.onnx.export(
            tower.eval(),
            example,
            str(file),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=tuple(dict(sizes) for _ in example),
            external_data=True,
            verbose=False,
        )


@contextmanager
def without_remarks() -> Iterator[None]:
    """The exporter warns of what is deprecated within itself, and tells of each step as the quantiser does."""
    root, steps = logging.getLogger(), [logging.getLogger(name) for name in ("onnx_ir", "onnxscript")]
    levels = [logger.level for logger in steps]

    def of_use(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    root.addFilter(of_use)
    for logger in steps:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(of_use)
        for logger, level in zip(steps, levels, strict=True):
            logger.setLevel(level)
