"""The peer of ``ingest.py``: what one writes in five minutes. One process, one image after the other.

    python benchmarks/plain_loop.py FOLDER STORE MODEL

PIL opens, open_clip preprocesses, the model encodes 32 at a time, qdrant-client upserts into a collection on disk.
The starter model is Shoal's own and so is its preprocessing; neither cares who calls it. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams
from table import pictures

BATCH = 32

Matrix = NDArray[np.float32]
#: One opened picture to the model's input, and many of these to vectors.
Model = tuple[Callable[[PIL.Image.Image], Matrix], Callable[[list[Matrix]], Matrix]]


def main() -> None:
    """Stores all images of a folder."""
    folder, store, name = sys.argv[1:]
    preprocess, encode = _starter() if name == "starter" else _open_clip(name)
    files = pictures(Path(folder))
    dimension = encode([preprocess(PIL.Image.open(files[0]).convert("RGB"))]).shape[1]
    client = QdrantClient(path=store)
    client.create_collection("photos", VectorParams(size=dimension, distance=Distance.COSINE))
    began, busy = time.monotonic(), time.process_time()
    for start in range(0, len(files), BATCH):
        stretch = files[start : start + BATCH]
        # convert() before it is turned, as open_clip's preprocessing does it too.
        opened = (PIL.ImageOps.exif_transpose(PIL.Image.open(file)).convert("RGB") for file in stretch)
        vectors = encode([preprocess(picture) for picture in opened])
        points = [
            PointStruct(id=str(uuid.uuid4()), vector=vector.tolist(), payload={"path": str(file)})
            for file, vector in zip(stretch, vectors, strict=True)
        ]
        client.upsert("photos", points)
    seconds, cpu = time.monotonic() - began, time.process_time() - busy
    client.close()
    print(json.dumps({"images": len(files), "seconds": seconds, "cpu_seconds": cpu}))


def _starter() -> Model:
    from stock_pipeline import engine_of

    engine = engine_of("starter")
    return lambda picture: engine.preprocess(np.asarray(picture)), engine.embed_images


def _open_clip(spec: str) -> Model:
    import open_clip
    import torch

    architecture, _, checkpoint = spec.partition("/")
    model, _, transform = open_clip.create_model_and_transforms(architecture, pretrained=checkpoint)
    model.eval()

    def encode(inputs: list[Matrix]) -> Matrix:
        with torch.no_grad():
            features = model.encode_image(torch.from_numpy(np.stack(inputs)), normalize=True)
        vectors: Matrix = features.numpy()
        return vectors

    return lambda picture: transform(picture).numpy(), encode


if __name__ == "__main__":
    main()
