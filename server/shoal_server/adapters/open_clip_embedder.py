"""Any CLIP model that open_clip can load: https://github.com/mlfoundations/open_clip."""

from __future__ import annotations

import difflib
import hashlib
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from shoal_server.application.ports import EmbeddingEngine
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels

if TYPE_CHECKING:
    import torch

_MAX_ASPECT = 8
#: Images in one pass on a CPU. With more, ViT-B-32 is no faster.
_CPU_PASS = 4
_FOLDER_PREFIX = "local-dir:"
_CHECKPOINT_SUFFIXES = (".bin", ".pt", ".pth", ".safetensors")
_PROBE_S = 4.0
_FORMS = "the forms are MODEL/PRETRAINED_TAG, MODEL/PATH_OF_A_CHECKPOINT and local-dir:FOLDER"

_WAYS_OUT = (
    "use a checkpoint on this disk (--model MODEL/PATH), or a cache that was filled where there is a connection "
    "(HF_HOME=FOLDER), or the model that needs no download (--model starter)"
)


@dataclass(frozen=True, slots=True)
class _Source:
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


class OpenClipEngine(EmbeddingEngine):
    """A CLIP model in float32, on a CUDA device if there is one."""

    def __init__(
        self,
        model: EmbeddingModel,
        network: torch.nn.Module,
        transform: Callable[[PillowImage.Image], torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
        device: str,
    ) -> None:
        """Takes the parts as they are; :meth:`load` finds and checks them.

        Args:
            model: what collections record.
            network: open_clip's model in evaluation mode, on the device.
            transform: open_clip's preprocessing for inference.
            tokenizer: open_clip's, for the same model.
            device: torch's name of it.
        """
        import torch

        self._model = model
        self._network: Any = network
        self._transform = transform
        self._tokenizer = tokenizer
        self._device = device
        self._cores = torch.get_num_threads()
        self._under_way = 0
        self._counting = threading.Lock()

    @classmethod
    def load(cls, spec: str) -> Self:
        """Loads a model, downloading it first if that is needed; the hub shows the progress on stderr.

        Args:
            spec: ``MODEL/PRETRAINED`` as open_clip lists them, for instance ``ViT-B-32/datacomp_xl_s13b_b90k``;
                ``MODEL/PATH`` with the file of a checkpoint; or ``local-dir:FOLDER`` with ``open_clip_config.json``
                and one checkpoint.

        Raises:
            ModelUnavailable: there is no such model or checkpoint, the weights do not fit the model, or they are
                neither here nor can be downloaded; the message says what to do.
            MissingExtra: open_clip is not installed.
        """
        try:
            import open_clip
            import torch
        except ModuleNotFoundError as error:
            raise MissingExtra(f"model {spec!r}", "server") from error
        source = _find(spec)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            network, transform = open_clip.create_model_from_pretrained(
                source.architecture,
                # open_clip takes the weights of a folder from the folder.
                pretrained=None if _is_folder(source.architecture) else str(source.checkpoint),
                device=device,
                **source.preprocessing,
            )
            tokenizer = _tokenizer(source.architecture)
            dimension = int(open_clip.get_model_config(source.architecture)["embed_dim"])
        except Exception as error:
            raise ModelUnavailable(
                spec, f"{source.checkpoint} could not be loaded as {source.architecture}: {_first_line(error)}"
            ) from error
        with source.checkpoint.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        model = EmbeddingModel(source.name, f"sha256:{digest}", dimension)
        return cls(model, network.eval(), transform, tokenizer, device)

    @property
    def model(self) -> EmbeddingModel:
        """The spec without folders; the digest is that of the checkpoint file."""
        return self._model

    @property
    def input_side(self) -> int:
        """Pixels of the longer side of what the model looks at."""
        size = self._network.visual.image_size
        return int(size if isinstance(size, int) else max(size))

    @property
    def passes_at_once(self) -> int:
        """As many as a CPU has cores; one on a GPU."""
        return 1 if self._device == "cuda" else self._cores

    @property
    def batch_size(self) -> int:
        """As many as it takes to keep a CPU's core busy; any number on a GPU."""
        return sys.maxsize if self._device == "cuda" else _CPU_PASS

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """Scaled, cropped and normalised as the model was trained; float32 (3, side, side).

        Of an image over eight times as long as wide only the middle is taken: scaled by its short side, a strip of
        1 x 60,000 pixels would need gigabytes.
        """
        import torch

        # For this thread: sharing these few numbers out among threads takes longer than working on them.
        torch.set_num_threads(1)
        height, width = pixels.shape[:2]
        longest = _MAX_ASPECT * min(height, width)
        top, left = max(height - longest, 0) // 2, max(width - longest, 0) // 2
        middle = pixels[top : top + longest, left : left + longest]
        prepared: NDArray[np.float32] = self._transform(PillowImage.fromarray(middle)).numpy()
        return prepared

    def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Preprocessed images to unit vectors, float32 (len(inputs), dimension)."""
        import torch

        if not inputs:
            return np.empty((0, self._model.dimension), np.float32)
        with self._cores_for(len(inputs)), torch.inference_mode():
            batch = torch.from_numpy(np.stack(inputs)).to(self._device)
            return _to_numpy(self._network.encode_image(batch, normalize=True))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to unit vectors, float32 (len(texts), dimension). What is beyond the model's context is cut off."""
        import torch

        if not texts:
            return np.empty((0, self._model.dimension), np.float32)
        with self._cores_for(len(texts)), torch.inference_mode():
            tokens = self._tokenizer(list(texts)).to(self._device)
            return _to_numpy(self._network.encode_text(tokens, normalize=True))

    @contextmanager
    def _cores_for(self, inputs: int) -> Iterator[None]:
        """Gives the pass of this thread all cores if it is for one input and alone, or else one.

        Threads that share a pass wait for one another hundreds of times in it, spinning; passes beside one another
        do not. So a lone request is answered soon, and a queue with the least work.
        """
        import torch

        with self._counting:
            self._under_way += 1
            alone = inputs == 1 and self._under_way == 1
        torch.set_num_threads(self._cores if alone else 1)
        try:
            yield
        finally:
            with self._counting:
                self._under_way -= 1


def _to_numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array


def _is_folder(architecture: str) -> bool:
    return architecture.startswith(_FOLDER_PREFIX)


def _tokenizer(architecture: str) -> Callable[[list[str]], torch.Tensor]:
    """The model's tokenizer, without asking the hub for what is here."""
    import open_clip

    needed = _hub_tokenizer(architecture)
    offline = {"local_files_only": True} if needed and _cached(*needed) else {}
    tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(architecture, **offline)
    return tokenizer


def _find(spec: str) -> _Source:
    """Finds everything a model is made of, downloading it if need be, before anything large is built."""
    source = _find_folder(spec) if _is_folder(spec) else _find_published_or_file(spec)
    for needed in (_hub_tokenizer(source.architecture), _hub_text_tower(source.architecture)):
        if needed and not _cached(*needed):
            _check_hub(spec, *needed)
    return source


def _find_published_or_file(spec: str) -> _Source:
    import open_clip

    architecture, _, pretrained = spec.partition("/")
    models: list[str] = open_clip.list_models()
    if architecture not in models:
        raise ModelUnavailable(spec, f"open_clip has no model {architecture!r}{_close(architecture, models)}; {_FORMS}")
    if open_clip.is_pretrained_cfg(architecture, pretrained):
        _check_activation(spec, architecture, pretrained)
        published: dict[str, Any] = open_clip.get_pretrained_cfg(architecture, pretrained)
        return _Source(spec, architecture, _fetch(spec, published), _preprocessing(published))
    tags: list[str] = open_clip.list_pretrained_tags_by_model(architecture)
    file = Path(pretrained).expanduser()
    if pretrained and file.is_file():
        return _Source(f"{architecture}/{file.name}", architecture, file, _usual_preprocessing(architecture, tags))
    if "/" in pretrained or file.suffix in _CHECKPOINT_SUFFIXES:
        raise ModelUnavailable(spec, f"there is no file {str(file)!r}; {_FORMS}")
    known = f"its tags are {', '.join(tags)}" if tags else "it has none, so give the path of a checkpoint"
    raise ModelUnavailable(
        spec, f"{architecture} has no pretrained tag {pretrained!r}{_close(pretrained, tags)}; {known}"
    )


def _find_folder(spec: str) -> _Source:
    import open_clip

    folder = Path(spec.removeprefix(_FOLDER_PREFIX)).expanduser()
    config = folder / "open_clip_config.json"
    if not config.is_file():
        raise ModelUnavailable(spec, f"there is no file {str(config)!r}; {_FORMS}")
    try:
        open_clip.get_model_config(spec)["embed_dim"]
    except Exception as error:
        raise ModelUnavailable(spec, f"{config} is not a configuration of open_clip: {error!r}") from error
    # Only these suffixes does open_clip look for. Which of several it takes is not documented.
    checkpoints = sorted(file for file in folder.iterdir() if file.suffix in (".bin", ".pth", ".safetensors"))
    if len(checkpoints) != 1:
        found = ", ".join(file.name for file in checkpoints) or "none"
        raise ModelUnavailable(spec, f"the folder must hold one .safetensors, .bin or .pth file; there is {found}")
    return _Source(f"{_FOLDER_PREFIX}{folder.resolve().name}", f"{_FOLDER_PREFIX}{folder}", checkpoints[0], {})


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
    cached = _cached(repository, *names)
    if cached is not None:
        return cached
    _check_hub(spec, repository, names[-1])
    try:
        return Path(open_clip.download_pretrained(published))
    except Exception as error:
        raise ModelUnavailable(
            spec, f"the download of {repository} failed ({_first_line(error)}); {_WAYS_OUT}"
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


def _cached(repository: str, *names: str) -> Path | None:
    """The first of these files of a repository that is in the hub's cache on this disk."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def _check_hub(spec: str, repository: str, name: str) -> None:
    """Asks the hub, which has a file that is not here, for a sign of life.

    Its own downloads retry for most of a minute before they give up.

    Raises:
        ModelUnavailable: there is none.
    """
    from huggingface_hub import constants, get_session, is_offline_mode

    problems: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=_PROBE_S)
            problems.put(None)
        except Exception as error:  # noqa: BLE001 - whatever keeps the hub from answering is the answer
            problems.put(_first_line(error))

    problem: str | None = "HF_HUB_OFFLINE is set"
    if not is_offline_mode():
        # In a thread of its own, for a name server that does not answer heeds no timeout.
        threading.Thread(target=ask, name="shoal-hub-probe", daemon=True).start()
        try:
            problem = problems.get(timeout=_PROBE_S)
        except queue.Empty:
            problem = f"no answer within {_PROBE_S:g} s"
    if problem is not None:
        raise ModelUnavailable(
            spec,
            f"{name} of {repository} is not in the hub's cache on this disk, and {constants.ENDPOINT} cannot be "
            f"reached ({problem}); {_WAYS_OUT}",
        )


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


def _close(word: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
