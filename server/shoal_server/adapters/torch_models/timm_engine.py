"""Any image model that timm can load (ResNet, DINOv2, ...): https://github.com/huggingface/pytorch-image-models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from PIL import Image as PillowImage

from shoal_server.adapters.torch_models.device import Device
from shoal_server.adapters.torch_models.engine import TorchEngine
from shoal_server.adapters.torch_models.forms import CHECKPOINT_SUFFIXES, FORMS, digest_of
from shoal_server.adapters.torch_models.hub import WAYS_OUT, cached, check_reachable, close_to
from shoal_server.adapters.torch_models.proving import prove
from shoal_server.domain.collection import EmbeddingModel, Precision
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.hugging_face import first_line

if TYPE_CHECKING:
    import torch

PREFIX = "timm/"
#: Where timm's hub repositories have the weights, in the order in which timm looks.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class _Source:
    """What a model is made of.

    Attributes:
        name: what collections record; no path of this machine.
        architecture: timm's name of the model, with the tag of the weights whose preprocessing counts.
        checkpoint: the file of the weights.
        published: whether they are timm's own.
    """

    name: str
    architecture: str
    checkpoint: Path
    published: bool


class TimmEngine(TorchEngine):
    """The pooled features of an image model, before its classifier; it reads no text."""

    def __init__(
        self,
        model: EmbeddingModel,
        network: torch.nn.Module,
        transform: Callable[[PillowImage.Image], torch.Tensor],
        side: int,
        device: Device,
    ) -> None:
        """Takes the parts as they are; :meth:`load` finds and checks them.

        Args:
            model: what collections record.
            network: timm's model without a classifier.
            transform: timm's preprocessing for inference.
            side: pixels that it scales an image to, before it cuts off the margins.
            device: where it runs, and how.
        """
        super().__init__(model, network, transform, device)
        self._side = side

    @classmethod
    def load(cls, spec: str, precision: Precision = Precision.FP32) -> Self:
        """Loads a model, downloading it first if that is needed; the hub shows the progress on stderr.

        Args:
            spec: ``timm/NAME`` as timm lists its models, with a tag of its weights or without for the default, for
                instance ``timm/vit_small_patch14_dinov2.lvd142m``; or ``timm/NAME/PATH`` with the file of a checkpoint.
            precision: what it computes with.

        Raises:
            ModelUnavailable: there is no such model or checkpoint, the weights do not fit the model, they are neither
                here nor can be downloaded, or it cannot have the precision; the message says what to do.
            MissingExtra: timm is not installed.
        """
        try:
            import timm
        except ModuleNotFoundError as error:
            raise MissingExtra(f"model {spec!r}", "server") from error
        device = Device.choose(spec, precision)
        source = _find(spec)
        try:
            network: Any = timm.create_model(
                source.architecture, pretrained=True, pretrained_cfg_overlay=_how_to_load(source)
            )
            # Built with the checkpoint's own classifier: only so does timm insist that all weights are there.
            network.reset_classifier(0)
            data: Any = timm.data
            config = data.resolve_model_data_config(network)
            transform = data.create_transform(**config, is_training=False)
            dimension = _dimension(network, config["input_size"])
        except Exception as error:
            raise ModelUnavailable(
                spec, f"{source.checkpoint} could not be loaded as {source.architecture}: {first_line(error)}"
            ) from error
        model = EmbeddingModel(source.name, digest_of([source.checkpoint]), dimension, precision, reads_text=False)
        side = math.ceil(max(config["input_size"][1:]) / config["crop_pct"])
        engine = cls(model, network, transform, side, device)
        prove(spec, engine)
        return engine

    @property
    def input_side(self) -> int:
        """Pixels that an image is scaled to, the margins included that are cut off."""
        return self._side

    def _image_features(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self._network(batch)
        return features


def _how_to_load(source: _Source) -> dict[str, Any]:
    """What is different from timm's own configuration of the weights."""
    # `custom_load` is for the files that some weights were converted from.
    overlay: dict[str, Any] = {"file": str(source.checkpoint), "custom_load": False}
    if not source.published:
        overlay |= {"num_classes": _classes(source), "label_offset": 0}
    return overlay


def _classes(source: _Source) -> int:
    """How many classes a checkpoint's classifier tells apart; 0 if it has none."""
    import timm

    weights = timm.models.load_state_dict(str(source.checkpoint), weights_only=True)
    published = timm.get_pretrained_cfg(source.architecture)
    classifier = published.classifier if published is not None else None
    first = classifier if isinstance(classifier, str) else next(iter(classifier or ()), "")
    weight = weights.get(f"{first}.weight")
    return 0 if weight is None else int(weight.shape[0])


def _dimension(network: Any, input_size: tuple[int, int, int]) -> int:
    import torch

    with torch.inference_mode():
        features = network.eval()(torch.zeros(1, *input_size))
    if features.ndim != 2:
        raise ValueError(f"its features have the shape {tuple(features.shape)}, and are not one vector for each image")
    return int(features.shape[1])


def _find(spec: str) -> _Source:
    """Finds everything a model is made of, downloading it if need be, before anything large is built."""
    import timm

    name, _, path = spec.removeprefix(PREFIX).partition("/")
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise ModelUnavailable(
            spec, f"timm has no model {architecture!r}{close_to(architecture, timm.list_models())}; {FORMS}"
        )
    tags = [each.partition(".")[2] for each in timm.list_pretrained(architecture)]
    if tag and tag not in tags:
        known = f"its tags are {', '.join(tags)}" if tags else "it has none, so give the path of a checkpoint"
        raise ModelUnavailable(spec, f"{architecture} has no pretrained tag {tag!r}{close_to(tag, tags)}; {known}")
    if path:
        file = Path(path).expanduser()
        if not file.is_file():
            raise ModelUnavailable(spec, f"there is no file {str(file)!r}; {FORMS}")
        if file.suffix not in CHECKPOINT_SUFFIXES:
            raise ModelUnavailable(
                spec, f"{str(file)!r} is no checkpoint that is read; those end in {', '.join(CHECKPOINT_SUFFIXES)}"
            )
        return _Source(f"{PREFIX}{name}/{file.name}", name, file, published=False)
    if not tags:
        raise ModelUnavailable(spec, f"timm has no weights of {architecture}; give the path of a checkpoint; {FORMS}")
    published: Any = timm.get_pretrained_cfg(name)
    whole = f"{architecture}.{published.tag}" if published.tag else architecture
    return _Source(f"{PREFIX}{whole}", whole, _fetch(spec, published), published=True)


def _fetch(spec: str, published: Any) -> Path:
    """The weights' file, from the hub's cache on this disk or from the hub."""
    if not published.hf_hub_id:
        raise ModelUnavailable(
            spec, f"its weights are not on the hub; download them from {published.url} and give the path of the file"
        )
    repository = published.hf_hub_id
    found = cached(repository, *_HUB_FILES)
    if found is not None:
        return found
    check_reachable(spec, repository, _HUB_FILES[0])
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    preferred, older = _HUB_FILES
    try:
        try:
            return Path(hf_hub_download(repository, preferred))
        except EntryNotFoundError:
            return Path(hf_hub_download(repository, older))
    except Exception as error:
        raise ModelUnavailable(
            spec, f"the download of {repository} failed ({first_line(error)}); {WAYS_OUT}"
        ) from error
