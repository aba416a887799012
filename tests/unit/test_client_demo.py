"""The demo's photographs and its server process."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from shoal_client.cli import demo, demo_story, output
from shoal_client.cli.demo_story import QDRANT_SNIPPET, SNIPPET
from shoal_client.demo import photographs
from shoal_client.demo.photographs import SHOTS, make_photographs
from shoal_client.demo.scenes import SCENES
from shoal_client.demo.server_process import Addresses, server_process
from shoal_client.errors import MissingExtra, ServerEnded
from shoal_client.results import Cluster, ClusterMatch, NameSource


def test_the_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    tags = pytest.importorskip("PIL.ExifTags")
    pytest.importorskip("skimage")
    told: list[tuple[int, int]] = []
    files = make_photographs(tmp_path / "one", lambda done, count: told.append((done, count)))
    assert len(SCENES) == 20
    assert len(files) == 240
    assert files == sorted((tmp_path / "one").iterdir())
    assert told[-1] == (240, 240)
    orientations: Counter[int] = Counter()
    for file in files:
        with image.open(file) as photograph:
            exif = photograph.getexif()
            detail, place = exif.get_ifd(tags.IFD.Exif), exif.get_ifd(tags.IFD.GPSInfo)
            orientation = exif[tags.Base.Orientation]
            orientations[orientation] += 1
            assert max(photograph.size) == 480
            assert (exif[tags.Base.Make], detail[tags.Base.DateTimeOriginal][:7])[1] == "2024:06"
            assert 0 < detail[tags.Base.ExposureTime] < 1
            assert {tags.Base.FNumber, tags.Base.ISOSpeedRatings, tags.Base.FocalLength} <= detail.keys()
            scene = next(scene for scene in SCENES if file.name.startswith(f"{scene.name}_"))
            degrees, minutes, seconds = place[tags.GPS.GPSLatitude]
            sign = 1 if place[tags.GPS.GPSLatitudeRef] == "N" else -1
            assert sign * (degrees + minutes / 60 + seconds / 3600) == pytest.approx(scene.lat, abs=0.003)
    assert orientations == {1: 180, 3: 20, 6: 20, 8: 20}

    monkeypatch.setattr(photographs, "SCENES", SCENES[:2])
    for file in make_photographs(tmp_path / "two"):
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()


def test_no_shot_has_black_corners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("skimage")
    monkeypatch.setattr(photographs, "SCENES", [scene for scene in SCENES if scene.name in ("horse", "clock", "logo")])
    for file in make_photographs(tmp_path):
        with image.open(file) as photograph:
            width, height = photograph.size
            corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
            if not file.name.startswith("horse"):
                assert min(max(photograph.getpixel(corner)) for corner in corners) > 60
    assert len(list(tmp_path.iterdir())) == 3 * SHOTS


@pytest.mark.parametrize("package", ["PIL", "skimage"])
def test_photographs_without_their_packages(tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(photographs, "find_spec", lambda name: None if name == package else find_spec(name))
    with pytest.raises(MissingExtra, match=r"pip install 'shoal\[server\]'"):
        make_photographs(tmp_path)


def test_the_snippets_are_python() -> None:
    compile(SNIPPET.format(address="h:1", collection="c", cluster=1), "snippet", "exec")
    compile(QDRANT_SNIPPET.format(collection="c", cluster=1), "snippet", "exec")


def test_ranked_clusters_are_not_folded_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Found:
        def search_clusters(self, *, text: str, limit: int) -> list[ClusterMatch]:
            cluster = Cluster(1, "cat, kitten", NameSource.AUTOMATIC, (), 12, 12, (), 0.9, 0.5, datetime.now(UTC))
            return [ClusterMatch(cluster, 0.25)] * limit

    monkeypatch.setattr(output, "console", lambda: Console(width=20))
    monkeypatch.setattr(demo_story, "console", output.console)
    demo_story._show_search(Found(), "a cat")  # type: ignore[arg-type]
    assert capsys.readouterr().out == "'a cat': " + ", ".join(["1 cat, kitten (0.250)"] * 3) + "\n"


def pretend_server(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Puts a program in the server's place."""
    (folder / "shoal_server").mkdir()
    (folder / "shoal_server" / "__init__.py").touch()
    (folder / "shoal_server" / "__main__.py").write_text(textwrap.dedent(program))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, sys.path)]))


def test_a_server_is_started_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_server(
        tmp_path,
        monkeypatch,
        """
        import sys, time
        from pathlib import Path
        options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
        assert sys.argv[1] == "serve" and options["--listen"] == "127.0.0.1:0" and options["--model"] == "starter"
        Path(options["--ready-file"]).write_text("{")
        time.sleep(0.3)
        Path(options["--ready-file"]).write_text('{"address": "127.0.0.1:1234", "web": "http://127.0.0.1:5678/"}')
        time.sleep(600)
        """,
    )
    with server_process(tmp_path / "data", "starter") as server:
        assert server.wait_until_ready() == Addresses("127.0.0.1:1234", "http://127.0.0.1:5678/")
        process = server._process
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM


def test_a_demo_that_goes_on_says_where_its_page_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Serving:
        def serve_on(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(demo, "console", lambda: Console(width=200))
    demo.serve_on(Serving(), Addresses("127.0.0.1:1", "http://127.0.0.1:2/"))  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    assert "in a browser: http://127.0.0.1:2/\n" in shown
    assert "--server 127.0.0.1:1\n" in shown


def test_the_users_server_settings_are_not_the_demos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOAL_QDRANT_URL", "shoal_qdrant_api_key", "SHOAL_LISTEN", "SHOAL_CACHE", "SHOAL_MAX_MESSAGE_BYTES"):
        monkeypatch.setenv(name, "x")
    pretend_server(
        tmp_path,
        monkeypatch,
        """
        import os
        raise SystemExit(" ".join(sorted(name for name in os.environ if name.upper().startswith("SHOAL"))))
        """,
    )
    with server_process(tmp_path / "data", "starter") as server:
        with pytest.raises(ServerEnded) as caught:
            server.wait_until_ready()
        assert caught.value.log_tail == "SHOAL_CACHE SHOAL_MAX_MESSAGE_BYTES"


def test_a_server_that_ends_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_server(tmp_path, monkeypatch, "raise SystemExit('no such model')")
    with server_process(tmp_path / "data", "nonsense") as server:
        with pytest.raises(ServerEnded, match="exit code 1") as caught:
            server.wait_until_ready()
        assert caught.value.log_tail == "no such model"
        with pytest.raises(ServerEnded):
            server.serve_on()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_ended_stops_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    pretend_server(
        tmp_path,
        monkeypatch,
        f"""
        import os, time
        from pathlib import Path
        Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
        time.sleep(600)
        """,
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"a")
    data = tmp_path / "data"
    command = [sys.executable, "-m", "shoal_client", "demo", str(tmp_path / "photos"), "--data", str(data)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(30) == (130 if number == signal.SIGINT else 143)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
