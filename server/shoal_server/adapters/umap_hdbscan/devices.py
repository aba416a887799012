"""Where the costly steps are done, and in how many dimensions neighbours are looked for.

Importing this module is cheap; what is slow to import is imported in the worker only.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shoal_server.domain.errors import MissingExtra
from shoal_server.domain.run import ClusteringDevice

if TYPE_CHECKING:
    from shoal_server.adapters.umap_hdbscan.steps import Steps


class NoGpu(Exception):
    """cuML is installed, but there is no GPU that it can work on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How a server wants its clustering done.

    Attributes:
        device: where.
        search_components: principal components that neighbours are looked for in; None: the vectors themselves.
    """

    device: ClusteringDevice = ClusteringDevice.CPU
    search_components: int | None = None

    def check(self) -> None:
        """Raises:
        MissingExtra: a GPU is asked for, and what works on one is not installed.
        """
        if self.device is ClusteringDevice.GPU and not _has_cuml():
            raise MissingExtra("clustering on a GPU (SHOAL_CLUSTERING_DEVICE=gpu)", "cuml")

    def steps(self) -> Steps:
        """The steps, in the process that does them.

        Raises:
            NoGpu: one is asked for.
        """
        from shoal_server.adapters.umap_hdbscan.leading_search import among_components

        steps = self._on_device()
        if self.search_components is None:
            return steps
        return replace(steps, find_nearest=among_components(steps.find_nearest, self.search_components))

    def _on_device(self) -> Steps:
        from shoal_server.adapters.umap_hdbscan.steps import ON_CPU

        if self.device is ClusteringDevice.CPU or (self.device is ClusteringDevice.AUTO and not _has_cuml()):
            return ON_CPU
        try:
            _check_gpu()
        except NoGpu:
            if self.device is ClusteringDevice.AUTO:
                return ON_CPU
            raise
        from shoal_server.adapters.umap_hdbscan.cuml_steps import ON_GPU

        return ON_GPU


def _has_cuml() -> bool:
    return importlib.util.find_spec("cuml") is not None


def _check_gpu() -> None:
    try:
        import cupy  # cuML's own arrays

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise NoGpu(_no_gpu(f"{type(error).__name__}: {error}")) from error
    if not count:
        raise NoGpu(_no_gpu("CUDA counts none"))


def _no_gpu(problem: str) -> str:
    return (
        f"cuML is installed, but finds no GPU ({problem}): install NVIDIA's driver, let the container see the GPU, or "
        "set SHOAL_CLUSTERING_DEVICE to auto or cpu"
    )
