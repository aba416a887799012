"""An exported tower in ONNX Runtime."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Graph:
    """One tower, for several threads at once.

    A pass that is for one input and alone gets all cores, any other one: threads that share a pass wait for one another
    in each of its steps, passes beside one another do not. So a lone request is answered soon, and a queue with the
    least work. ONNX Runtime fixes the threads of a session when it is made, so there are two of them.

    Attributes:
        cores: that a pass may have.
    """

    def __init__(self, file: Path, cores: int) -> None:
        """Loads the tower.

        Args:
            file: ``*.onnx``.
            cores: of this machine that a pass may have.

        Raises:
            Exception: of ONNX Runtime, of many kinds: it cannot load the file.
        """
        self.cores = cores
        self._beside = _session(file, 1)
        self._alone = self._beside if cores == 1 else _session(file, cores)
        self._names = [each.name for each in self._beside.get_inputs()]
        self._under_way = 0
        self._counting = threading.Lock()

    def __call__(self, arguments: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """A batch, each array an argument, to unit vectors (n, dimension)."""
        with self._counting:
            self._under_way += 1
            alone = self._under_way == 1 and len(arguments[0]) == 1
        try:
            session = self._alone if alone else self._beside
            vectors: NDArray[np.float32] = session.run(None, dict(zip(self._names, arguments, strict=True)))[0]
        finally:
            with self._counting:
                self._under_way -= 1
        return vectors


def cores_here() -> int:
    """Cores that this process may use."""
    # Not on every system does a process know that.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(file: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; it warns of what it could not optimise
    # A thread that has nothing to do would keep its core from those that decode the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
