"""Ways from photographs to vectors; each is run by ``embedding_peers.py`` in a process of its own, with any Python.

    python benchmarks/embedding_ways.py NAME MODELS FILES

MODELS is a folder from :func:`save_models`; FILES has the path of a photograph on each line. Prints one JSON object:
images a second once the model is loaded and has seen a few of them, and the version of what ran.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

BATCH = 32
#: Photographs that wait for Shoal's batching at once.
_WAITING = 64
_WARM_UP = 4
#: The open_clip name of what all of them run, and fastembed's.
ARCHITECTURE = "ViT-B-32"
_FASTEMBED = "Qdrant/clip-ViT-B-32-vision"

#: Embeds files; the number of vectors.
Embed = Callable[[Sequence[str]], int]


def shoal(models: Path) -> Embed:
    """Shoal's engine for the model behind its batching, as a server has it on this machine."""
    return _engine(models, "fp32")


def shoal_int8(models: Path) -> Embed:
    """The same, in int8."""
    return _engine(models, "int8")


def _engine(models: Path, precision: str) -> Embed:
    import numpy as np
    import PIL.Image

    from shoal_server.adapters.batching import BatchingEmbedder
    from shoal_server.bootstrap import load_engine
    from shoal_server.domain.collection import Precision

    engine = load_engine(f"{ARCHITECTURE}/{models / 'weights.pt'}", models / "cache", Precision(precision))
    runner = asyncio.Runner()

    async def begun() -> BatchingEmbedder:
        # As a server has it: it is what has every core at work.
        return await BatchingEmbedder(engine, max_queue=_WAITING).__aenter__()

    embedder = runner.run(begun())

    async def embedded(files: Sequence[str]) -> int:
        pictures = await asyncio.to_thread(lambda: [np.asarray(PIL.Image.open(file).convert("RGB")) for file in files])
        return len(await asyncio.gather(*(embedder.embed_image(picture) for picture in pictures)))

    def embed(files: Sequence[str]) -> int:
        return sum(runner.run(embedded(files[start : start + _WAITING])) for start in range(0, len(files), _WAITING))

    return embed


def plain(models: Path) -> Embed:
    """A loop around open_clip."""
    import open_clip
    import PIL.Image
    import torch

    model, _, transform = open_clip.create_model_and_transforms(ARCHITECTURE, pretrained=str(models / "weights.pt"))
    model.eval()

    def embed(files: Sequence[str]) -> int:
        count = 0
        for start in range(0, len(files), BATCH):
            inputs = [transform(PIL.Image.open(file).convert("RGB")) for file in files[start : start + BATCH]]
            with torch.no_grad():
                count += len(model.encode_image(torch.stack(inputs), normalize=True))
        return count

    return embed


def fastembed(models: Path) -> Embed:
    """fastembed with the same weights, exported for it, in place of those that it would download."""
    from fastembed import ImageEmbedding

    model = ImageEmbedding(_FASTEMBED, specific_model_path=str(models / "fastembed"))
    return lambda files: len(list(model.embed(list(files), batch_size=BATCH)))


def infinity(models: Path) -> Embed:
    """infinity with a model of the same shape from a folder, in the process; its server would add to this."""
    from infinity_emb import AsyncEmbeddingEngine, EngineArgs

    arguments = EngineArgs(
        model_name_or_path=str(models / "infinity"), engine="torch", device="cpu", batch_size=BATCH, model_warmup=False
    )
    engine: Any = AsyncEmbeddingEngine.from_args(arguments)
    runner = asyncio.Runner()
    runner.run(engine.astart())

    def embed(files: Sequence[str]) -> int:
        vectors, _ = runner.run(engine.image_embed(images=[Path(file).read_bytes() for file in files]))
        return len(vectors)

    return embed


#: Name to what it is called in tables, the package whose version is told, and the way itself.
WAYS: dict[str, tuple[str, str, Callable[[Path], Embed]]] = {
    "shoal": ("Shoal's engine, fp32", "shoal", shoal),
    "shoal_int8": ("Shoal's engine, int8", "shoal", shoal_int8),
    "plain": ("a loop around open_clip", "open-clip-torch", plain),
    "fastembed": ("fastembed", "fastembed", fastembed),
    "infinity": ("infinity", "infinity-emb", infinity),
}


def main() -> None:
    """Runs one of them."""
    name, models, listed = sys.argv[1:]
    files = Path(listed).read_text(encoding="utf-8").splitlines()
    _, package, way = WAYS[name]
    embed = way(Path(models))
    embed(files[:_WARM_UP])
    began = time.monotonic()
    count = embed(files)
    seconds = time.monotonic() - began
    if count != len(files):
        sys.exit(f"{count} vectors of {len(files)} photographs")
    print(json.dumps({"rate": count / seconds, "version": version(package)}))


if __name__ == "__main__":
    main()
