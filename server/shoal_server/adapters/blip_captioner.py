"""Captions by BLIP (Li et al. 2022, https://arxiv.org/abs/2201.12086) through transformers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels

#: The model that is meant if none is named: 990 MB.
DEFAULT_MODEL = "Salesforce/blip-image-captioning-base"

_EXTRA = "captions"
# A caption names what is there in a dozen tokens; more is embroidery.
_MAX_TOKENS = 20
_BEAMS = 3
_AT_ONCE = 8
_PROBE_S = 4.0
# Everything that is loaded. Weights in pickled form are left out: they can run code.
_FILES = ("*.json", "*.txt", "*.safetensors")
_WAYS_OUT = (
    "give the folder of a copy on this disk (made with save_pretrained or downloaded where there is a connection), or "
    "a hub cache that was filled there (HF_HOME=FOLDER), or leave the captioner out"
)


class BlipCaptioner:
    """Says in a few words what images show; in float32, on a CUDA device if there is one.

    Deterministic: beams, no sampling. One call at a time; it blocks, so it belongs into a thread.
    """

    def __init__(self, network: Any, processor: Any, device: str) -> None:
        """Takes the parts as they are; :meth:`load` finds and checks them.

        Args:
            network: ``BlipForConditionalGeneration`` in evaluation mode, on the device.
            processor: ``BlipProcessor`` of the same model.
            device: torch's name of it.
        """
        self._network = network
        self._processor = processor
        self._device = device
        self._one_at_a_time = threading.Lock()

    @classmethod
    def load(cls, spec: str = DEFAULT_MODEL) -> Self:
        """Loads a model from a folder or from the hub, through the hub's cache on this disk.

        Only weights in the safetensors format are read, and no code that comes with a model is run.

        Args:
            spec: a folder that ``save_pretrained`` wrote, model and processor, or the name of a repository.

        Raises:
            MissingExtra: transformers is not installed.
            ModelUnavailable: it is neither here nor can be downloaded, or it is no BLIP model for captions; the
                message says what to do.
        """
        try:
            import torch
            from transformers import BlipForConditionalGeneration, BlipProcessor
        except ImportError as error:
            raise MissingExtra("a captioner", _EXTRA) from error
        folder = _find(spec)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        _check_kind(spec, folder)
        try:
            with _quietly():
                loaded: Any = BlipForConditionalGeneration.from_pretrained(
                    folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                )
                network, report = loaded
                processor = BlipProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:
            raise ModelUnavailable(spec, f"{folder} could not be loaded as BLIP: {_first_line(error)}") from error
        # Weights that are not in the file stay random, and the captions would be noise.
        if report["missing_keys"]:
            lacking = sorted(report["missing_keys"])
            raise ModelUnavailable(spec, f"{len(lacking)} of its weights are not in the file, such as {lacking[0]!r}")
        return cls(network.eval().to(device), processor, device)

    def caption(self, pixels: Sequence[Pixels]) -> list[str]:
        """One caption for each image, in lower case and without a full stop; empty where the model says nothing.

        Args:
            pixels: upright RGB, uint8 (height, width, 3), of any sizes.
        """
        import torch

        captions: list[str] = []
        for start in range(0, len(pixels), _AT_ONCE):
            images: list[NDArray[np.uint8]] = list(pixels[start : start + _AT_ONCE])
            with self._one_at_a_time, torch.inference_mode():
                inputs = self._processor(images=images, input_data_format="channels_last", return_tensors="pt")
                tokens = self._network.generate(
                    pixel_values=inputs["pixel_values"].to(self._device),
                    max_new_tokens=_MAX_TOKENS,
                    num_beams=_BEAMS,
                    do_sample=False,
                )
                texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
            captions += [" ".join(text.lower().split()).rstrip(" .") for text in texts]
        return captions


def _find(spec: str) -> Path:
    """The folder of the model's files, downloaded first if need be."""
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(spec, allow_patterns=list(_FILES), local_files_only=True))
    except HFValidationError as error:
        raise ModelUnavailable(spec, f"there is no such folder, and it is no name of the hub's; {_WAYS_OUT}") from error
    except LocalEntryNotFoundError:
        pass
    _check_hub(spec)
    try:
        return Path(snapshot_download(spec, allow_patterns=list(_FILES)))
    except Exception as error:
        raise ModelUnavailable(spec, f"the download failed ({_first_line(error)}); {_WAYS_OUT}") from error


def _check_hub(spec: str) -> None:
    """Asks the hub for a sign of life; its own downloads retry for most of a minute before they give up."""
    from huggingface_hub import constants, get_session, is_offline_mode

    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=_PROBE_S)
            answered.set()
        except Exception:  # noqa: BLE001, S110 - no answer, whatever the reason
            pass

    if not is_offline_mode():
        # In a thread of its own, for a name server that does not answer heeds no timeout.
        asking = threading.Thread(target=ask, name="shoal-hub-probe", daemon=True)
        asking.start()
        asking.join(_PROBE_S)
    if not answered.is_set():
        raise ModelUnavailable(
            spec, f"it is not in the hub's cache on this disk, and {constants.ENDPOINT} cannot be reached; {_WAYS_OUT}"
        )


def _check_kind(spec: str, folder: Path) -> None:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(spec, f"{folder / 'config.json'} does not say what model it is; {_WAYS_OUT}") from error
    if kind != "blip":
        raise ModelUnavailable(spec, f"it is a {kind!r} model, not a BLIP model such as {DEFAULT_MODEL}")
    if not any(folder.glob("*.safetensors")):
        raise ModelUnavailable(
            spec, f"{folder} has no weights in the safetensors format, the only one that is read; convert them"
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without progress bars, which are only noise in a server's log."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
