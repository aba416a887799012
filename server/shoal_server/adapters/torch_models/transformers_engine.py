"""CLIP, SigLIP and SigLIP 2 checkpoints in the format of transformers: https://huggingface.co/docs/transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from PIL import Image as PillowImage

from shoal_server.adapters.torch_models.device import Device
from shoal_server.adapters.torch_models.engine import TorchEngine
from shoal_server.adapters.torch_models.forms import FORMS, digest_of
from shoal_server.adapters.torch_models.proving import prove
from shoal_server.domain.collection import EmbeddingModel, Precision
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.hugging_face import first_line, without_progress_bars

if TYPE_CHECKING:
    import torch

PREFIX = "transformers:"
#: By ``model_type``: how a batch of texts is padded. SigLIP was trained without a mask, on texts that are padded to the
#: full length, and gives other vectors for shorter ones.
_PADDING = {"clip": "longest", "siglip": "max_length"}
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


class TransformersEngine(TorchEngine):
    """A model with an image and a text tower that share a space."""

    def __init__(self, model: EmbeddingModel, network: torch.nn.Module, processor: Any, device: Device) -> None:
        """Takes the parts as they are; :meth:`load` finds and checks them.

        Args:
            model: what collections record.
            network: of transformers.
            processor: of the same checkpoint, for images and texts.
            device: where it runs, and how.
        """

        def transform(image: PillowImage.Image) -> torch.Tensor:
            pixels: torch.Tensor = processor.image_processor(images=[image], return_tensors="pt")["pixel_values"][0]
            return pixels

        super().__init__(model, network, transform, device)
        self._processor = processor
        self._padding = _PADDING[self._network.config.model_type]
        self._context = int(self._network.config.text_config.max_position_embeddings)

    @classmethod
    def load(cls, spec: str, precision: Precision = Precision.FP32) -> Self:
        """Loads a model from a folder; nothing is downloaded, and no code of the folder's is run.

        Args:
            spec: ``transformers:FOLDER`` with what ``save_pretrained`` writes for the model and its processor; the
                weights must be in the safetensors format.
            precision: what it computes with.

        Raises:
            ModelUnavailable: there is no such folder, something is missing in it, it is another kind of model, or it
                cannot have the precision; the message says what to do.
            MissingExtra: transformers is not installed.
        """
        try:
            from transformers import AutoModel, AutoProcessor
        except ImportError as error:
            raise MissingExtra(f"model {spec!r}", "server") from error
        device = Device.choose(spec, precision)
        folder = Path(spec.removeprefix(PREFIX)).expanduser()
        _check_kind(spec, folder)
        weights = _weights(spec, folder)
        try:
            with without_progress_bars():
                loaded: Any = AutoModel.from_pretrained(
                    folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype="float32",
                    output_loading_info=True,
                )
                processors: Any = AutoProcessor
                processor = processors.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            network, report = loaded
            dimension = int(network.get_image_features(_blank(processor)).pooler_output.shape[1])
        except Exception as error:
            raise ModelUnavailable(spec, f"{folder} could not be loaded: {first_line(error)}") from error
        # Weights that are not in the files stay random, and the vectors would be noise.
        if report["missing_keys"]:
            lacking = sorted(report["missing_keys"])
            raise ModelUnavailable(spec, f"{len(lacking)} of its weights are not in the files, such as {lacking[0]!r}")
        model = EmbeddingModel(f"{PREFIX}{folder.resolve().name}", digest_of(weights), dimension, precision)
        engine = cls(model, network, processor, device)
        prove(spec, engine)
        return engine

    @property
    def input_side(self) -> int:
        """Pixels that an image is scaled to: its shorter side, or the longer one of what the model looks at."""
        size = self._processor.image_processor.size
        return int(size.get("shortest_edge") or max(size["height"], size["width"]))

    def _image_features(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self._network.get_image_features(pixel_values=batch).pooler_output
        return features

    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self._processor.tokenizer(
            list(texts), padding=self._padding, max_length=self._context, truncation=True, return_tensors="pt"
        ).to(self.device.name)
        features: torch.Tensor = self._network.get_text_features(**tokens).pooler_output
        return features


def _blank(processor: Any) -> Any:
    image = PillowImage.new("RGB", (8, 8))
    return processor.image_processor(images=[image], return_tensors="pt")["pixel_values"]


def _check_kind(spec: str, folder: Path) -> None:
    config = folder / "config.json"
    try:
        kind = json.loads(config.read_text(encoding="utf-8"))["model_type"]
    except OSError as error:
        raise ModelUnavailable(spec, f"there is no file {str(config)!r} that can be read; {FORMS}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(spec, f"{config} does not say what model it is") from error
    if kind == "siglip2":
        raise ModelUnavailable(
            spec,
            "it is a SigLIP 2 NaFlex model, which looks at images in their own shape and is not supported; use a "
            "SigLIP 2 model of a fixed resolution, such as siglip2-base-patch16-224",
        )
    if kind not in _PADDING:
        raise ModelUnavailable(spec, f"it is a {kind!r} model; CLIP, SigLIP and SigLIP 2 models are supported")


def _weights(spec: str, folder: Path) -> list[Path]:
    """The files of the weights, in the order of their names."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    except OSError as error:
        raise ModelUnavailable(
            spec,
            f"{folder} has no weights in the safetensors format ({_WEIGHTS}), the only one that is read; load them "
            "with transformers and save them with save_pretrained",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailable(spec, f"{folder / _INDEX} does not say which files have the weights") from error
    for file in files:
        if not file.is_file():
            raise ModelUnavailable(spec, f"there is no file {str(file)!r}, which {_INDEX} names")
    return files
