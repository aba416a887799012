"""The forms that the name of a model has, and what they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

#: What open_clip and timm read as checkpoints.
CHECKPOINT_SUFFIXES = (".bin", ".pt", ".pth", ".safetensors")

FORMS = (
    "the forms are MODEL/PRETRAINED_TAG, MODEL/PATH_OF_A_CHECKPOINT and local-dir:FOLDER of open_clip, timm/NAME and "
    "timm/NAME/PATH_OF_A_CHECKPOINT of timm, and transformers:FOLDER"
)


def digest_of(files: Iterable[Path]) -> str:
    """``sha256:`` and the digest over the bytes of the files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"
