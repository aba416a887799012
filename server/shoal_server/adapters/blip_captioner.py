"""Captions by BLIP (Li et al. 2022, https://arxiv.org/abs/2201.12086) through transformers."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.errors import MissingExtra, ModelUnavailable
from shoal_server.domain.image import Pixels
from shoal_server.hugging_face import check_hub, first_line, without_progress_bars

#: The model that is meant if none is named: 990 MB.
DEFAULT_MODEL = "Salesforce/blip-image-captioning-base"

_EXTRA = "captions"
# A caption names what is there in a dozen tokens; more is embroidery.
_MAX_TOKENS = 20
_BEAMS = 3
_AT_ONCE = 8
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
            with without_progress_bars():
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
            raise ModelUnavailable(spec, f"{folder} could not be loaded as BLIP: {first_line(error)}") from error
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
    check_hub(spec, "it", _WAYS_OUT)
    try:
        return Path(snapshot_download(spec, allow_patterns=list(_FILES)))
    except Exception as error:
        raise ModelUnavailable(spec, f"the download failed ({first_line(error)}); {_WAYS_OUT}") from error


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
