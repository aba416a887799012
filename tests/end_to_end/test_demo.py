"""The demo, as the README promises it: photographs in, clusters out, words find them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def test_demo(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    data = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "shoal_client", "demo", "--data", str(data)],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout

    table = re.findall(r"^ *(\d+)  (\S.*?)  +(\d+)  (\w+)_\d\d\.jpg *$", shown, re.MULTILINE)
    assert len(table) >= 15, shown
    names = [name for _, name, _, _ in table]
    assert len(names) == len(set(names))
    scene_of = {cluster: scene for cluster, _, _, scene in table}
    assert sum(int(size) for _, _, size, _ in table) > 200

    prompts = dict(re.findall(r"^'(.+?)': (\d+) ", shown, re.MULTILINE))
    assert scene_of[prompts["a cat"]] == "chelsea"
    assert scene_of[prompts["a cup of coffee"]] == "coffee"
    assert scene_of[prompts["a rocket launch"]] == "rocket"

    held_back = re.search(r"chelsea_06\.jpg, finds its cluster\ncluster (\d+),", shown)
    assert held_back is not None
    assert scene_of[held_back[1]] == "chelsea"
    assert f"clusters=[{held_back[1]}]" in shown
    assert str(data) in shown
    assert (data / "collections" / "default" / "collection.json").exists()
