"""A server whose model breaks at the second image: ``breaking_model.py raises|hangs serve ...``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.cli import main


def break_at_the_second(how: str) -> None:
    """From the second image on the device is lost: passes raise, or never end."""
    embed_images = DebugEngine.embed_images
    passes = 0

    def embed_or_break(self: Any, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        nonlocal passes
        passes += 1
        if passes == 1:
            return embed_images(self, inputs)
        if how == "hangs":
            threading.Event().wait()
        raise RuntimeError("CUDA error: device-side assert triggered")

    DebugEngine.embed_images = embed_or_break  # type: ignore[method-assign]


if __name__ == "__main__":
    break_at_the_second(sys.argv.pop(1))
    main()
