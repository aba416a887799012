"""What happens to images and texts before the networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from shoal_server.domain.image import Pixels

SIDE = 224
_PIXEL_MEAN = np.float32(127)
_PIXEL_STD = np.float32(128)


def preprocess(pixels: Pixels) -> NDArray[np.float32]:
    """The central square, scaled to 224 x 224 (bicubic), about -1 to 1; float32 (224, 224, 3).

    The whole short side is kept. Against squashing the image to a square, this gives purer clusters (on 30 classes
    of Caltech-101: k-means NMI 0.95 against 0.93).
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    scaled = PillowImage.fromarray(pixels).resize(
        (SIDE, SIDE), PillowImage.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    return (np.asarray(scaled, dtype=np.float32) - _PIXEL_MEAN) / _PIXEL_STD


class StarterInputs:
    """Preprocessing and tokenizer, for networks that run elsewhere than in PyTorch."""

    def __init__(self, text_folder: Path) -> None:
        """Takes the folder of the sentence encoder, of which the weights are not read."""
        from tokenizers import Tokenizer

        settings = json.loads((text_folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self._tokenizer = Tokenizer.from_file(str(text_folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(settings["max_seq_length"])
        self._tokenizer.enable_padding()

    @property
    def input_side(self) -> int:
        """Pixels of the square that is looked at."""
        return SIDE

    def preprocess(self, pixels: Pixels) -> NDArray[np.float32]:
        """As that of the engine."""
        return preprocess(pixels)

    def tokenize(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens, and 1 where there is one; int64 (n, length of the longest) each."""
        encoded = self._tokenizer.encode_batch(list(texts))
        tokens = np.array([each.ids for each in encoded], np.int64)
        return tokens, np.array([each.attention_mask for each in encoded], np.int64)
