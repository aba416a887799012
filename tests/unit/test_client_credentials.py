"""What the client connects with, from the command line and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from shoal_client.cli import options
from shoal_client.cli.connecting import connecting, credentials, shown_options
from shoal_client.credentials import Credentials, Tls, is_loopback
from shoal_client.errors import InvalidArgument, UnreadableFile
from shoal_client.transport import _channel_options
from tests.certificates import Authority

VARIABLES = (
    "SHOAL_TLS",
    "SHOAL_TLS_CA",
    "SHOAL_CLIENT_CERT",
    "SHOAL_CLIENT_KEY",
    "SHOAL_API_KEY",
    "SHOAL_API_KEY_FILE",
    "SHOAL_PLAINTEXT",
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def given(*arguments: str) -> tuple[Credentials, str]:
    """The credentials that a command has, and the command line that it shows."""
    seen: list[tuple[Credentials, str]] = []
    app = typer.Typer()
    app.callback()(connecting)

    @app.command()
    def look() -> None:
        seen.append((credentials(), options.command_line("search", collection="default", server="127.0.0.1:50051")))

    done = CliRunner().invoke(app, [*arguments, "look"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return seen[0]


def test_nothing() -> None:
    assert given() == (Credentials(), "shoal search")


def test_options(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" shoal_secret\n")
    found, line = given("--tls-ca", "ca.pem", "--client-cert", "c", "--client-key", "k", "--api-key-file", str(file))
    assert found == Credentials("shoal_secret", Tls(Path("ca.pem"), Path("c"), Path("k")))
    assert "shoal_secret" not in repr(found)
    assert line == f"shoal --tls-ca ca.pem --client-cert c --client-key k --api-key-file {file} search"
    assert given("--tls")[1] == "shoal --tls search"


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_API_KEY", "shoal_from_variable")
    monkeypatch.setenv("SHOAL_TLS_CA", "ca.pem")
    monkeypatch.setenv("SHOAL_PLAINTEXT", "true")
    expected = Credentials("shoal_from_variable", Tls(Path("ca.pem")), plaintext=True)
    assert given() == (expected, "shoal search")
    (tmp_path / "key").write_text("shoal_from_file")
    assert given("--api-key-file", str(tmp_path / "key"))[0].api_key == "shoal_from_file"
    monkeypatch.setenv("SHOAL_PLAINTEXT", "perhaps")
    with pytest.raises(InvalidArgument, match="SHOAL_PLAINTEXT"):
        given()


def test_options_of_one_command_are_not_the_next_ones() -> None:
    given("--tls")
    assert given()[0].tls is None
    assert shown_options() == ()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No such file"):
        given("--api-key-file", str(tmp_path / "none"))
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(UnreadableFile, match="no text"):
        given("--api-key-file", str(tmp_path / "bytes"))


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(InvalidArgument, match="go together"):
        Credentials(tls=Tls(certificate="c")).blocking_channel("127.0.0.1:1", [])


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    pair, other = authority.sign("anna"), authority.sign("bert")
    certificate, key, wrong = pair.certificate, pair.key, other.key
    text = tmp_path / "text"
    text.write_text("no certificate")
    with pytest.raises(InvalidArgument, match="text holds no certificate of an authority"):
        Credentials(tls=Tls(ca=text)).blocking_channel("127.0.0.1:1", [])
    for first, second in ((certificate, wrong), (certificate, text), (text, key), (key, certificate)):
        with pytest.raises(InvalidArgument, match="and its key cannot be used"):
            Credentials(tls=Tls(certificate=first, key=second)).blocking_channel("127.0.0.1:1", [])
    Credentials(tls=Tls(ca=authority.file, certificate=certificate, key=key)).blocking_channel(
        "127.0.0.1:1", []
    ).close()


@pytest.mark.parametrize(
    ("target", "here"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/run/shoal.sock", True),
        ("ipv4:127.0.0.1:1", True),
        ("ipv6:[::1]:1", True),
        ("ipv4:127.0.0.1:1,192.0.2.1:1", False),
        ("127.0.0.1.example:1", False),
        ("localhost.example:1", False),
        ("192.0.2.1:1", False),
        ("0.0.0.0:1", False),
        ("dns:localhost:1", False),
    ],
)
def test_loopback(target: str, here: bool) -> None:
    assert is_loopback(target) is here
    # A key that may travel in clear because it does not leave the machine must not leave it by a proxy.
    assert dict(_channel_options(target, 2**20))["grpc.enable_http_proxy"] == int(not here)
