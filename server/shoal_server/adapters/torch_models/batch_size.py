"""How many images a GPU takes in one pass, found by trying."""

from __future__ import annotations

from collections.abc import Callable

#: More images a second, as a factor, that twice the batch has to bring; less is not worth that others wait the longer.
_WORTH = 1.1
_LARGEST = 1024


def find_batch_size(seconds: Callable[[int], float], *, largest: int = _LARGEST) -> int:
    """The batch from which on throughput hardly grows, a power of two.

    Args:
        seconds: runs a pass of so many images and says how long it took; raises MemoryError if there is too little
            memory for it.
        largest: the largest batch that is tried.

    Raises:
        MemoryError: there is too little memory for one image.
    """
    best, rate = 1, 1 / seconds(1)
    while 2 * best <= largest:
        try:
            faster = 2 * best / seconds(2 * best)
        except MemoryError:
            # Half of what did not fit leaves room for what else is on the device.
            return best
        if faster < _WORTH * rate:
            return best
        best, rate = 2 * best, faster
    return best
