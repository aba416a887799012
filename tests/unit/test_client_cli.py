"""The command line without a server: records, output, and commands of other distributions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core
from rich.console import Console
from typer.testing import CliRunner

from shoal_client import Image, ImageMetadata, Location, NotFound
from shoal_client.cli import app, group, output
from shoal_client.cli.output import print_json, print_record, print_records, warn
from shoal_client.cli.records import image_record

IMAGE = Image(
    id="i",
    sha256="s",
    uri="file:///a",
    tags=("t",),
    cluster_id=None,
    metadata=ImageMetadata(2, 1, "PNG", 9, captured_at="2024-01-02T03:04:05", location=Location(1.5, -2)),
    ingested_at=datetime(2024, 1, 1, tzinfo=UTC),
)


def test_an_images_record_is_its_payload() -> None:
    assert image_record(IMAGE) == {
        "id": "i",
        "uri": "file:///a",
        "also_at": [],
        "cluster_id": None,
        "sha256": "s",
        "tags": ["t"],
        "attributes": {},
        "width": 2,
        "height": 1,
        "format": "PNG",
        "byte_size": 9,
        "captured_at": "2024-01-02T03:04:05",
        "location": {"lat": 1.5, "lon": -2},
        "local_time": False,
        "frame_count": 1,
        "ingested_at": "2024-01-01T00:00:00+00:00",
    }


def test_json_is_utf8_even_for_names_that_are_not(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json({"name": "Möwe\udcff"})
    line = capfdbinary.readouterr().out
    assert line == b'{"name": "M\xc3\xb6we\\udcff"}\n'
    assert json.loads(line) == {"name": "Möwe\udcff"}


def test_tables_take_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_records([{"a": "[red]x[/red]", "b": None, "c": 0.5, "d": [1, 2]}], dict.fromkeys("abcd", "h"), as_json=False)
    assert capsys.readouterr().out.splitlines()[1].split() == ["[red]x[/red]", "-", "0.500", "1,", "2"]
    print_records([], {"a": "h"}, as_json=False)
    assert capsys.readouterr().out == "none\n"


ID = "0d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"


def test_rows_of_a_pipe_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    uri = "file:///" + "folder/" * 60
    print_records([{"id": ID, "uri": uri}] * 2, {"uri": "picture", "id": "id"}, as_json=False)
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["picture", "id"]
    assert [row.split() for row in rows] == [[uri, ID]] * 2
    print_record({"id": ID, "uri": uri}, as_json=False)
    assert capsys.readouterr().out == f"id  {ID}\nuri {uri}\n"


def test_ids_are_whole_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "console", lambda: Console(width=30, force_terminal=True, color_system=None))
    print_records([{"id": ID, "uri": "x" * 80}], {"uri": "picture", "id": "id"}, as_json=False)
    assert ID in capsys.readouterr().out
    print_record({"id": ID}, as_json=False)
    assert ID in capsys.readouterr().out


def test_a_record_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    uris = [f"file:///{name * 40}[b]" for name in "ab"]
    record = {"also_at": uris, "tags": ["x", "y"], "attributes": {"album": "x", "done": True}, "altitude_m": -3.25}
    print_record({**record, "location": {"lat": 43.46744833, "lon": -11.5}, "none": []}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"also_at    {uris[0]}",
        f"           {uris[1]}",
        "tags       x, y",
        "attributes album x, done True",
        "altitude_m -3.25",
        "location   lat 43.46744833, lon -11.5",
        "none       -",
    ]


@pytest.mark.parametrize("width", [30, 60, 80])
def test_what_is_copied_is_whole_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(output, "console", lambda: Console(width=width, force_terminal=True, color_system=None))
    uri = "file:///" + "folder/" * 10
    columns = {"id": "id", "cluster_id": "cluster", "captured_at": "taken", "uri": "picture"}
    print_records([{"id": ID, "uri": uri, "captured_at": "2024-01-02T03:04:05"}] * 2, columns, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all(ID in line for line in lines[2::2])
    assert all(line.startswith("  ") and line.endswith(uri) for line in lines[3::2])
    assert " ".join(lines[:2]).split() == ["id", "cluster", "taken", "picture"]


def test_a_picture_is_folded_where_there_is_room_to_read_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "console", lambda: Console(width=80, force_terminal=True, color_system=None))
    uri = "file:///" + "folder/" * 5
    print_records(
        [{"id": ID, "uri": uri, "score": 0.5}], {"score": "score", "uri": "picture", "id": "id"}, as_json=False
    )
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["score", "picture", "id"]
    assert (first.split()[1] + second.strip(), first.split()[2]) == (uri, ID)


def test_names_do_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31mb\nc\u202ed\udcff"
    print_records([{"id": 1, "uri": name}], {"id": "id", "uri": "picture"}, as_json=False)
    print_record({"uri": name}, as_json=False)
    warn(f"failed: {name}", output.error_console())
    told = capsys.readouterr()
    assert told.out.count(r"a\x1b[31mb\nc\u202ed\udcff") == 2
    assert told.err == r"failed: a\x1b[31mb c\u202ed\udcff" + "\n"


def greet(name: str, loud: bool = False) -> None:
    """Greets."""
    if name == "nobody":
        raise NotFound("there is nobody")
    typer.echo(name.upper() if loud else name)


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints(
        [
            EntryPoint("greet", f"{__name__}:greet", group.COMMANDS),
            EntryPoint("serve", "shoal_server.no_such_module:serve", group.COMMANDS),
            EntryPoint("other", "no_such_package:run", group.COMMANDS),
        ]
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules[greet.__module__])
    monkeypatch.setattr(group, "entry_points", lambda **only: entries.select(**only))


@pytest.mark.usefixtures("entry_points")
def test_commands_of_other_distributions() -> None:
    assert CliRunner().invoke(app, ["greet", "you", "--loud"]).stdout == "YOU\n"
    failed = CliRunner().invoke(app, ["greet", "nobody"])
    assert (failed.exit_code, failed.stderr) == (1, "error: there is nobody\n")
    overview = CliRunner().invoke(app, ["--help"]).stdout
    assert all(name in overview for name in ("ingest", "clusters", "demo", "greet", "Greets.", "serve"))


@pytest.mark.usefixtures("entry_points")
def test_a_command_whose_package_is_missing_says_so() -> None:
    done = CliRunner().invoke(app, ["serve", "--data", "x"])
    assert (done.exit_code, done.stderr) == (
        1,
        "error: the server half is not installed: pip install 'shoal[server]'\n",
    )
    done = CliRunner().invoke(app, ["other"])
    assert (done.exit_code, "no_such_package" in done.stderr) == (1, True)
    assert CliRunner().invoke(app, ["unheard-of"]).exit_code == 2


def test_an_argument_that_is_no_text(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["clusters", "--collection", "\udcff", "--server", "127.0.0.1:9"])
    assert (done.exit_code, done.stderr[:12]) == (1, r"error: '\udc")


def commands(at: Any, *path: str) -> Iterator[tuple[str, set[str]]]:
    """All commands, each with its options."""
    if isinstance(at, typer.core.TyperGroup):
        context = typer.Context(at)
        for name in at.list_commands(context):
            yield from commands(at.get_command(context, name), *path, name)
    if path and (at.invoke_without_command if isinstance(at, typer.core.TyperGroup) else True):
        yield " ".join(path), {option for parameter in at.params for option in parameter.opts}


def test_the_options_that_readme_says_commands_share() -> None:
    options = dict(commands(typer.main.get_command(app)))
    apart = {"collections", "status", "backup", "detach", "demo", "serve", "restore", "migrate", "keys"}
    shared = {"--server", "--collection", "--json"}
    lacking = {name.split()[0] for name, own in options.items() if not shared <= own}
    assert lacking == apart
    without_server = {"demo", "serve", "restore", "migrate", "keys"}
    assert {name.split()[0] for name, own in options.items() if "--server" not in own} == without_server
    assert not any("--collection" in options[name] for name in apart & options.keys() - without_server)
