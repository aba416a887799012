"""open_clip models for other runtimes than PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.torch_models.device import Device
from shoal_server.adapters.torch_models.engine import preprocessed
from shoal_server.adapters.torch_models.forms import digest_of
from shoal_server.adapters.torch_models.open_clip_engine import Source, find_source, tokenizer_of
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import MissingExtra
from shoal_server.domain.image import Pixels

if TYPE_CHECKING:
    from shoal_server.adapters.torch_models.open_clip_towers import OpenClipTowers


class OpenClipModel:
    """A model whose weights were found and are not read yet."""

    def __init__(self, spec: str, source: Source) -> None:
        """Takes what was found; :meth:`find` finds it."""
        self._spec = spec
        self._source = source

    @classmethod
    def find(cls, spec: str) -> Self:
        """Finds a model, downloading it first if that is needed.

        Args:
            spec: as of :class:`OpenClipEngine`.

        Raises:
            ModelUnavailable: as from :meth:`OpenClipEngine.load`.
            MissingExtra: open_clip is not installed.
        """
        if importlib.util.find_spec("open_clip") is None:
            raise MissingExtra(f"model {spec!r}", "server")
        return cls(spec, find_source(spec))

    @cached_property
    def model(self) -> EmbeddingModel:
        """As the engine's, in fp32."""
        return EmbeddingModel(self._source.name, digest_of([self._source.checkpoint]), int(self._config["embed_dim"]))

    @property
    def fingerprint(self) -> str:
        """The architecture, how images are prepared, and the version of open_clip."""
        import open_clip

        return repr((open_clip.__version__, self._config, self._source.preprocessing))

    def load(self) -> OpenClipTowers:
        """The networks, in PyTorch on the CPU.

        Raises:
            ModelUnavailable: the weights do not fit the model.
        """
        # Here, for it imports PyTorch.
        from shoal_server.adapters.torch_models.open_clip_towers import OpenClipTowers

        return OpenClipTowers.of_source(self._spec, self._source, Device("cpu"))

    def ends(self, recipe: Mapping[str, Any]) -> OpenClipEnds:
        """Preprocessing and tokenizer."""
        return OpenClipEnds(recipe, self._source)

    @cached_property
    def _config(self) -> dict[str, Any]:
        import open_clip

        config: dict[str, Any] = open_clip.get_model_config(self._source.architecture)
        return config


class OpenClipEnds:
    """Preprocessing and tokenizer, for networks that run elsewhere than in PyTorch."""

    def __init__(self, recipe: Mapping[str, Any], source: Source) -> None:
        """Takes the recipe of :class:`OpenClipTowers`, also when it was written as JSON and read again."""
        from open_clip.transform import PreprocessCfg, image_transform_v2

        lists_as_tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in recipe.items()}
        self._transform = image_transform_v2(PreprocessCfg(**lists_as_tuples), is_train=False)
        self._tokenizer = tokenizer_of(source.architecture)
        self._size = recipe["size"]

    @property
    def input_side(self) -> int:
        """Pixels of the longer side of what the model looks at."""
        return int(self._size if isinstance(self._size, int) else max(self._size))

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """As that of the engine."""
        return preprocessed(pixels, self._transform)

    def tokenize(self, texts: Sequence[str]) -> tuple[NDArray[np.int64]]:
        """Tokens, int64 (n, context)."""
        tokens: NDArray[np.int64] = self._tokenizer(list(texts)).numpy().astype(np.int64)
        return (tokens,)
