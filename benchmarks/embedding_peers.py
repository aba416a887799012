"""Photographs to vectors beside fastembed and infinity: images a second, each way in a fresh process.

    python benchmarks/embedding_peers.py FOLDER [--repeat 3] [--count 64] [--python NAME=INTERPRETER ...] [--json FILE]

All run a CLIP ViT-B-32 with random weights, on all cores, from files that are read, decoded and prepared by their own
means (``embedding_ways.py``); nothing is downloaded: fastembed gets the weights as an ONNX file, infinity a folder of
transformers. In turn, ``--repeat`` times; the fastest of each counts. A peer that wants other versions of packages than
Shoal runs in an environment of its own: ``--python fastembed=/somewhere/bin/python``. One that cannot run is told with
its last words, and is no figure. The exit status is 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from embedding_ways import ARCHITECTURE, WAYS
from figures import Figure, ended, json_option
from table import head, kept_rows, pictures, row

_SEED = 7
#: What CLIP's pictures are prepared with, as transformers and fastembed read it.
_PREPARING = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "CLIPImageProcessor",
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 224},
}


def main() -> int:
    """Runs all of it; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with photographs")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--count", type=int, default=64, help="photographs")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=INTERPRETER", help="what a way runs with"
    )
    parser.add_argument("--only", choices=WAYS, action="append", help="only this; may be repeated")
    json_option(parser)
    options = parser.parse_args()
    interpreters = dict(each.split("=", 1) for each in options.python)
    if unknown := interpreters.keys() - WAYS.keys():
        parser.error(f"there is no way '{min(unknown)}'; there are {', '.join(WAYS)}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="shoal-embedding-") as name:
        folder = Path(name)
        save_models(folder)
        found = pictures(options.folder)
        # From all labels alike.
        chosen = found[:: max(1, len(found) // options.count)][: options.count]
        (folder / "files.txt").write_text("\n".join(map(str, chosen)) + "\n", encoding="utf-8")
        rates: dict[str, list[float]] = {each: [] for each in options.only or WAYS}
        told: dict[str, str] = {}
        for _ in range(options.repeat):
            for way in rates:
                if len(rates[way]) or way not in told:
                    _run(way, interpreters.get(way, sys.executable), folder, rates[way], told)
    with kept_rows() as rows:
        head("images/s", "times the plain loop", "version")
        for way, own in rates.items():
            if own:
                times = f"{max(own) / max(rates['plain']):.2f}" if rates.get("plain") else "-"
                row(WAYS[way][0], f"{max(own):.1f}", times, told[way])
            else:
                row(WAYS[way][0], "could not be run here", "-", told[way])
    return ended(_figures(rates, rows, time.monotonic() - began), options.json)


def save_models(folder: Path) -> None:
    """Writes the weights as open_clip, fastembed and infinity want them; takes a minute.

    infinity's have another seed, for open_clip's names are not those of transformers; the work is the same.
    """
    import open_clip
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(_SEED)
    model = open_clip.create_model(ARCHITECTURE).eval()
    torch.save(model.state_dict(), folder / "weights.pt")

    exported = folder / "fastembed"
    exported.mkdir()
    batch = {0: "batch"}
    torch.onnx.export(
        model.visual,
        (torch.zeros(1, 3, 224, 224),),
        str(exported / "model.onnx"),
        input_names=["pixel_values"],
        output_names=["image_embeds"],
        dynamic_axes={"pixel_values": batch, "image_embeds": batch},
        dynamo=False,
    )
    (exported / "preprocessor_config.json").write_text(json.dumps(_PREPARING), encoding="utf-8")
    library: Any = transformers
    library.CLIPModel(library.CLIPConfig()).save_pretrained(folder / "infinity")
    known = {"<unk>": 0, "a</w>": 1, "<eos>": 2}
    words = Tokenizer(models.BPE(vocab=known, merges=[], end_of_word_suffix="</w>"))
    words.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    named = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<eos>"}
    tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=77, **named)
    tokenizer.save_pretrained(folder / "infinity")
    # infinity needs a transformers of before 5, which knows this class and not the one that 5 writes.
    settings = folder / "infinity" / "tokenizer_config.json"
    content = json.loads(settings.read_text(encoding="utf-8")) | {"tokenizer_class": "CLIPTokenizerFast"}
    settings.write_text(json.dumps(content), encoding="utf-8")
    (folder / "infinity" / "preprocessor_config.json").write_text(json.dumps(_PREPARING), encoding="utf-8")


def _run(way: str, interpreter: str, folder: Path, rates: list[float], told: dict[str, str]) -> None:
    script = Path(__file__).with_name("embedding_ways.py")
    command = [interpreter, str(script), way, str(folder), str(folder / "files.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        told[way] = lines[-1][:200] if lines else f"it ended with {done.returncode}"
        return
    found = json.loads(done.stdout.splitlines()[-1])
    rates.append(found["rate"])
    told[way] = found["version"]


def _figures(rates: dict[str, list[float]], rows: list[list[str]], seconds: float) -> list[Figure]:
    figures: list[Figure] = []
    for ours, claim in (
        ("shoal", "Shoal's engine is as fast as the fastest of the others in fp32."),
        ("shoal_int8", "In int8 it is faster than all of them."),
    ):
        peers = {way: max(own) for way, own in rates.items() if own and not way.startswith("shoal")}
        if not rates.get(ours) or not peers:
            continue
        best = max(peers, key=lambda way: peers[way])
        ratio = max(rates[ours]) / peers[best]
        least = 1.0 if ours == "shoal" else 1.3
        value = f"{ratio:.2f} times {WAYS[best][0]}"
        name = f"{WAYS[ours][0]} beside the fastest peer"
        figures.append(Figure(name, claim, f">= {least:g}", value, ratio >= least, rows, 0.0 if figures else seconds))
    return figures


if __name__ == "__main__":
    sys.exit(main())
