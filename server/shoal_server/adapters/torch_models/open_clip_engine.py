"""Any CLIP model that open_clip can load: https://github.com/mlfoundations/open_clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

_FOLDER_PREFIX = "local-dir:"


@dataclass(frozen=True, slots=True)
class Source:
    """Everything of a model that has to be found before it is built.

    Attributes:
        name: what collections record; no path of this machine.
        architecture: open_clip's name of the model, or ``local-dir:FOLDER``.
        checkpoint: the file of the weights.
        preprocessing: arguments of open_clip's loader; empty for its default or the folder's own.
    """

    name: str
    architecture: str
    checkpoint: Path
    preprocessing: dict[str, Any]


class OpenClipEngine(TorchEngine):
    """A CLIP model, on a CUDA device if there is one."""

    def __init__(
        self,
        model: EmbeddingModel,
        network: torch.nn.Module,
        transform: Callable[[PillowImage.Image], torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
        device: Device,
    ) -> None:
        """Takes the parts as they are; :meth:`load` finds and checks them.

        Args:
            model: what collections record.
            network: open_clip's model.
            transform: open_clip's preprocessing for inference.
            tokenizer: open_clip's, for the same model.
            device: where it runs, and how.
        """
        super().__init__(model, network, transform, device)
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, spec: str, precision: Precision = Precision.FP32) -> Self:
        """Loads a model, downloading it first if that is needed; the hub shows the progress on stderr.

        Args:
            spec: ``MODEL/PRETRAINED`` as open_clip lists them, for instance ``ViT-B-32/datacomp_xl_s13b_b90k``;
                ``MODEL/PATH`` with the file of a checkpoint; or ``local-dir:FOLDER`` with ``open_clip_config.json``
                and one checkpoint.
            precision: what it computes with.

        Raises:
            ModelUnavailable: there is no such model or checkpoint, the weights do not fit the model, they are neither
                here nor can be downloaded, or it cannot have the precision; the message says what to do.
            MissingExtra: open_clip is not installed.
        """
        try:
            import open_clip
        except ModuleNotFoundError as error:
            raise MissingExtra(f"model {spec!r}", "server") from error
        del open_clip
        device = Device.choose(spec, precision)
        engine = cls.of_source(spec, find_source(spec), device)
        prove(spec, engine)
        return engine

    @classmethod
    def of_source(cls, spec: str, source: Source, device: Device) -> Self:
        """Reads the weights of a model that was found.

        Raises:
            ModelUnavailable: they do not fit the model.
        """
        import open_clip

        try:
            network, transform = open_clip.create_model_from_pretrained(
                source.architecture,
                # open_clip takes the weights of a folder from the folder.
                pretrained=None if _is_folder(source.architecture) else str(source.checkpoint),
                device=device.name,
                **source.preprocessing,
            )
            tokenizer = tokenizer_of(source.architecture)
            dimension = int(open_clip.get_model_config(source.architecture)["embed_dim"])
        except Exception as error:
            raise ModelUnavailable(
                spec, f"{source.checkpoint} could not be loaded as {source.architecture}: {first_line(error)}"
            ) from error
        model = EmbeddingModel(source.name, digest_of([source.checkpoint]), dimension, device.precision)
        return cls(model, network, transform, tokenizer, device)

    @property
    def input_side(self) -> int:
        """Pixels of the longer side of what the model looks at."""
        size = self._network.visual.image_size
        return int(size if isinstance(size, int) else max(size))

    def _image_features(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self._network.encode_image(batch, normalize=False)
        return features

    def _text_features(self, texts: Sequence[str]) -> torch.Tensor:
        tokens = self._tokenizer(list(texts)).to(self.device.name)
        features: torch.Tensor = self._network.encode_text(tokens, normalize=False)
        return features


def _is_folder(architecture: str) -> bool:
    return architecture.startswith(_FOLDER_PREFIX)


def tokenizer_of(architecture: str) -> Callable[[list[str]], torch.Tensor]:
    """The model's tokenizer, without asking the hub for what is here."""
    import open_clip

    needed = _hub_tokenizer(architecture)
    offline = {"local_files_only": True} if needed and cached(*needed) else {}
    tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(architecture, **offline)
    return tokenizer


def find_source(spec: str) -> Source:
    """Finds everything a model is made of, downloading it if need be, before anything large is built."""
    source = _find_folder(spec) if _is_folder(spec) else _find_published_or_file(spec)
    for needed in (_hub_tokenizer(source.architecture), _hub_text_tower(source.architecture)):
        if needed and not cached(*needed):
            check_reachable(spec, *needed)
    return source


def _find_published_or_file(spec: str) -> Source:
    import open_clip

    architecture, _, pretrained = spec.partition("/")
    models: list[str] = open_clip.list_models()
    if architecture not in models:
        raise ModelUnavailable(
            spec, f"open_clip has no model {architecture!r}{close_to(architecture, models)}; {FORMS}"
        )
    if open_clip.is_pretrained_cfg(architecture, pretrained):
        _check_activation(spec, architecture, pretrained)
        published: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, pretrained)
        return Source(spec, architecture, _fetch(spec, published), _preprocessing(published))
    tags: list[str] = open_clip.list_pretrained_tags_by_model(architecture)
    file = Path(pretrained).expanduser()
    if pretrained and file.is_file():
        return Source(f"{architecture}/{file.name}", architecture, file, _usual_preprocessing(architecture, tags))
    if "/" in pretrained or file.suffix in CHECKPOINT_SUFFIXES:
        raise ModelUnavailable(spec, f"there is no file {str(file)!r}; {FORMS}")
    known = f"its tags are {', '.join(tags)}" if tags else "it has none, so give the path of a checkpoint"
    raise ModelUnavailable(
        spec, f"{architecture} has no pretrained tag {pretrained!r}{close_to(pretrained, tags)}; {known}"
    )


def _find_folder(spec: str) -> Source:
    import open_clip

    folder = Path(spec.removeprefix(_FOLDER_PREFIX)).expanduser()
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise ModelUnavailable(spec, f"there is no file {str(config)!r}; {FORMS}")
    try:
        open_clip.get_model_config(spec)["embed_dim"]
    except Exception as error:
        raise ModelUnavailable(spec, f"{config} is not a configuration of open_clip: {error!r}") from error
    # Only these suffixes does open_clip look for. Which of several it takes is not documented.
    checkpoints = sorted(file for file in folder.iterdir() if file.suffix in (".bin", ".pth", ".safetensors"))
    if len(checkpoints) != 1:
        found = ", ".join(file.name for file in checkpoints) or "none"
        raise ModelUnavailable(spec, f"the folder must hold one .safetensors, .bin or .pth file; there is {found}")
    return Source(f"{_FOLDER_PREFIX}{folder.resolve().name}", f"{_FOLDER_PREFIX}{folder}", checkpoints[0], {})


def _preprocessing(published: dict[str, Any]) -> dict[str, Any]:
    """How the images were prepared that weights were trained with, as arguments of open_clip."""
    return {f"image_{key}": published.get(key) for key in ("mean", "std", "interpolation", "resize_mode")}


def _usual_preprocessing(architecture: str, tags: Sequence[str]) -> dict[str, Any]:
    """The preprocessing that all published weights of a model share, or nothing, which is open_clip's default.

    A checkpoint does not say how it was trained; SigLIP's, for instance, need another normalisation than CLIP's.
    """
    import open_clip

    ways = [_preprocessing(open_clip.get_pretrained_cfg(architecture, tag)) for tag in tags]
    return ways[0] if ways and all(way == ways[0] for way in ways) else {}


def _fetch(spec: str, published: dict[str, Any]) -> Path:
    """The weights' file, from the hub's cache on this disk or from the hub."""
    import open_clip
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, name = published["hf_hub"].rpartition("/")
    names = (str(Path(name).with_suffix(".safetensors")), name) if name else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
    found = cached(repository, *names)
    if found is not None:
        return found
    check_reachable(spec, repository, names[-1])
    try:
        return Path(open_clip.download_pretrained(published))
    except Exception as error:
        raise ModelUnavailable(
            spec, f"the download of {repository} failed ({first_line(error)}); {WAYS_OUT}"
        ) from error


def _hub_tokenizer(architecture: str) -> tuple[str, str] | None:
    """Repository and file of the tokenizer, if it is not part of open_clip or of the folder."""
    import open_clip

    if _is_folder(architecture):
        return None
    repository = open_clip.get_model_config(architecture)["text_cfg"].get("hf_tokenizer_name")
    return (repository, "tokenizer_config.json") if repository else None


def _hub_text_tower(architecture: str) -> tuple[str, str] | None:
    """Repository and file of the text tower's configuration, if it is not part of open_clip's."""
    import open_clip

    repository = open_clip.get_model_config(architecture).get("text_cfg", {}).get("hf_model_name")
    return (repository, "config.json") if repository else None


def _check_activation(spec: str, architecture: str, tag: str) -> None:
    """Refuses weights that were trained with QuickGELU in a model without it, which gives poor vectors in silence."""
    import open_clip

    trained: bool = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    built: bool = open_clip.get_model_config(architecture).get("quick_gelu", False)
    # open_clip warns of the reverse too, but its one case is a model made for just these weights.
    if trained and not built:
        raise ModelUnavailable(
            spec,
            f"the weights {tag!r} were trained with the QuickGELU activation, which {architecture} does not have; "
            f"use '{architecture}-quickgelu/{tag}'",
        )
