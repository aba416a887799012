"""What a model runs on in PyTorch, and the numbers that it computes with there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.collection import Precision
from shoal_server.domain.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch


class Device:
    """A GPU, or the cores of a CPU.

    Attributes:
        name: torch's.
        precision: what the passes compute with.
        cores: threads of a CPU that share a pass at most.
    """

    def __init__(self, name: str, precision: Precision = Precision.FP32) -> None:
        import torch

        self.name = name
        self.precision = precision
        self.cores = torch.get_num_threads()
        self._under_way = 0
        self._counting = threading.Lock()
        self._set_products()

    @classmethod
    def choose(cls, spec: str, precision: Precision) -> Self:
        """The GPU if there is one.

        Raises:
            ModelUnavailable: PyTorch does not compute with these numbers there.
        """
        import torch

        name = "cuda" if torch.cuda.is_available() else "cpu"
        if precision is Precision.INT8:
            raise ModelUnavailable(
                spec,
                "PyTorch does not compute in int8; ONNX Runtime does, for open_clip (leave out SHOAL_RUNTIME); or "
                "use SHOAL_PRECISION=bf16",
            )
        if precision is Precision.FP16 and name == "cpu":
            raise ModelUnavailable(
                spec,
                "fp16 needs a GPU, and PyTorch sees none here; on a CPU use SHOAL_PRECISION=bf16, int8 or fp32",
            )
        return cls(name, precision)

    @property
    def is_gpu(self) -> bool:
        """Whether it is no CPU."""
        return self.name == "cuda"

    def settled(self, network: torch.nn.Module) -> torch.nn.Module:
        """The network here, in evaluation mode.

        Its images are channels last, which is how convolutions are quickest, on either device.
        """
        import torch

        return network.eval().to(self.name).to(memory_format=torch.channels_last)

    def batch(self, inputs: Sequence[NDArray[np.float32]]) -> torch.Tensor:
        """Preprocessed images as one tensor, here."""
        import torch

        if not self.is_gpu:
            return torch.from_numpy(np.stack(inputs)).contiguous(memory_format=torch.channels_last)
        # From pinned memory the copy needs no other, and nobody waits for it but the pass.
        pinned = torch.empty((len(inputs), *inputs[0].shape), pin_memory=True)
        np.stack(inputs, out=pinned.numpy())
        return pinned.to(self.name, non_blocking=True).contiguous(memory_format=torch.channels_last)

    @contextmanager
    def passing(self, inputs: int) -> Iterator[None]:
        """Around a pass of this thread: no gradients, the precision, and its share of the cores.

        It gets all cores if it is for one input and alone, or else one. Threads that share a pass wait for one another
        hundreds of times in it, spinning; passes beside one another do not. So a lone request is answered soon, and a
        queue with the least work.
        """
        import torch

        with self._counting:
            self._under_way += 1
            alone = inputs == 1 and self._under_way == 1
        torch.set_num_threads(self.cores if alone else 1)
        try:
            with torch.inference_mode(), self._computing():
                yield
        finally:
            with self._counting:
                self._under_way -= 1

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """In here passes compute in float32; nobody else may have one under way."""
        precision, self.precision = self.precision, Precision.FP32
        self._set_products()
        try:
            yield
        finally:
            self.precision = precision
            self._set_products()

    def _computing(self) -> AbstractContextManager[object]:
        import torch

        if not self.is_gpu or self.precision is Precision.FP32:
            return nullcontext()
        return torch.autocast(self.name, dtype=torch.float16 if self.precision is Precision.FP16 else torch.bfloat16)

    def _set_products(self) -> None:
        """Says how a CPU multiplies matrices, for the whole process.

        In bf16 they are rounded to it and multiplied with instructions for it (AMX, AVX512-BF16), where there are any;
        all else stays in float32. Autocast would round everything else too, and take longer than float32.
        """
        import torch

        if not self.is_gpu:
            torch.set_float32_matmul_precision("medium" if self.precision is Precision.BF16 else "highest")
