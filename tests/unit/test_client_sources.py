"""Archives, patterns and lists of paths."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_client.bulk import archives
from shoal_client.bulk.archives import is_archive, members
from shoal_client.bulk.contents import READING_ERRORS
from shoal_client.bulk.path_list import LONGEST, read_paths
from shoal_client.bulk.patterns import expand
from shoal_client.errors import UnreadableFile
from shoal_client.files import IMAGE_SUFFIXES, LeftOut, scan
from shoal_client.sources import ArchiveMember, BadSource, NewImage, open_source, read_source

FILES = {"b.JPG": b"bee" * 1000, "in/ä b.png": b"inner", "in/deep/c.tif": b"", "notes.txt": b"n", "in/.h.jpg": b"h"}
TAR_SUFFIXES = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]
_OPENERS: dict[str, Callable[..., object]] = {
    ".tar": open, ".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.bz2": bz2.open, ".tar.xz": lzma.open,
}  # fmt: skip


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    suffix = max((each for each in _OPENERS if path.name.endswith(each)), key=len)
    with _OPENERS[suffix](path, "wb") as file:  # type: ignore[attr-defined]
        file.write(data.getvalue())
    return path


def read(member: ArchiveMember) -> bytes:
    with member.content.open() as file:
        return b"".join(iter(lambda: file.read(7), b""))


def images(path: Path) -> list[ArchiveMember]:
    found = list(members(path, IMAGE_SUFFIXES, Counter()))
    assert all(isinstance(each, ArchiveMember) for each in found), found
    return [each for each in found if isinstance(each, ArchiveMember)]


def problems(path: Path) -> list[str]:
    found = members(path, IMAGE_SUFFIXES, Counter())
    return [each.error.message for each in found if isinstance(each, BadSource)]


@pytest.mark.parametrize("suffix", [".zip", *TAR_SUFFIXES])
def test_the_images_in_an_archive(tmp_path: Path, suffix: str) -> None:
    path = (zipped if suffix == ".zip" else tarred)(tmp_path / f"an archive{suffix}", FILES)
    left_out = LeftOut()
    found = [each.image for each in scan([path], left_out) if isinstance(each, NewImage)]
    inside = [each for each in found if isinstance(each, ArchiveMember)]
    assert [each.name for each in inside] == ["b.JPG", "in/ä b.png", "in/deep/c.tif"]
    assert [read(each) for each in inside] == [FILES[each.name] for each in inside]
    assert [read(each) for each in inside] == [FILES[each.name] for each in inside], "a second time"
    assert inside[1].uri == f"{path.resolve().as_uri()}#in/%C3%A4%20b.png"
    assert str(inside[1]) == f"{path}#in/ä b.png"
    assert [each.origin.size for each in inside] == [3000, 5, 0]
    assert len({each.origin.location for each in inside}) == 3
    assert left_out.passed_over == {".txt": 1}


@pytest.mark.parametrize("suffix", [".zip", *TAR_SUFFIXES])
def test_an_archive_that_is_none_or_cut_off_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(os.urandom(2000))
    assert len(problems(path)) == 1
    path.unlink()
    assert "No such file" in problems(path)[0]
    (zipped if suffix == ".zip" else tarred)(path, {f"{n}.jpg": os.urandom(3000) for n in range(20)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = list(members(path, IMAGE_SUFFIXES, Counter()))
    told = [each for each in found if isinstance(each, BadSource)]
    for each in found:
        if isinstance(each, ArchiveMember):
            try:
                assert len(read(each)) == 3000
            except READING_ERRORS as error:
                told.append(BadSource(str(each), error))  # type: ignore[arg-type]
    assert told


def test_what_is_wrong_with_a_zip_is_said_in_words(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"1.jpg": b"one"})
    whole = path.read_bytes()
    # The flags' place in the archive's directory: bit 0 says that a member is encrypted.
    flags = whole.index(b"PK\1\2") + 8
    path.write_bytes(whole[:flags] + bytes([whole[flags] | 1]) + whole[flags + 1 :])
    [member] = images(path)
    with pytest.raises(UnreadableFile) as caught:
        read_source(open_source(NewImage(member)), 100)
    assert caught.value.message.endswith(f"{path}#1.jpg: it is encrypted; unpack the archive first")
    path.write_bytes(whole[:40])
    [problem] = problems(path)
    assert problem.endswith(f"{path}: it is cut off or damaged, or no zip archive; copy it anew")


def test_names_and_links_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    link = tarfile.TarInfo("link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.jpg")
    hard = tarfile.TarInfo("hard.jpg")
    hard.type, hard.linkname = tarfile.LNKTYPE, "../secret.jpg"
    device = tarfile.TarInfo("device.jpg")
    device.type = tarfile.CHRTYPE
    names = {"/etc/absolute.jpg": b"1", "../../up.jpg": b"2"}
    before = sorted(tmp_path.iterdir())
    for path in (
        tarred(tmp_path / "a.tar", names, link, hard, device),
        tarred(tmp_path / "a.tgz", names, link, hard, device),
        zipped(tmp_path / "a.zip", names),
    ):
        passed_over: Counter[str] = Counter()
        found = [each for each in members(path, IMAGE_SUFFIXES, passed_over) if isinstance(each, ArchiveMember)]
        assert [(each.name, read(each)) for each in found] == list(names.items())
        assert all(each.uri.startswith(f"{path.resolve().as_uri()}#") for each in found)
        assert passed_over == ({} if path.suffix == ".zip" else {"link": 2})
        path.unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_a_link_in_a_zip_is_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    passed_over: Counter[str] = Counter()
    assert list(members(tmp_path / "a.zip", IMAGE_SUFFIXES, passed_over)) == []
    assert passed_over == {"link": 1}


@pytest.mark.parametrize("suffix", [".zip", ".tgz", ".tar.bz2", ".tar.xz"])
def test_a_bomb_is_left_alone(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 2**20)
    monkeypatch.setattr(archives, "MAX_RATIO", 3)
    files = {"first.jpg": b"fine", **{f"{number}.jpg": bytes(300_000) for number in range(20)}, "last.jpg": b"fine"}
    path = (zipped if suffix == ".zip" else tarred)(tmp_path / f"bomb{suffix}", files)
    found = list(members(path, IMAGE_SUFFIXES, Counter()))
    assert isinstance(found[0], ArchiveMember)
    assert isinstance(found[-1], BadSource)
    assert "unpacks to more than 1,048,576 bytes" in found[-1].error.message
    assert sum(isinstance(each, ArchiveMember) for each in found) < 6


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_a_member_that_is_too_large_fails_alone(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 1000)
    files = {"a.jpg": b"a", "large.jpg": os.urandom(1001), "z.jpg": b"z"}
    path = (zipped if suffix == ".zip" else tarred)(tmp_path / f"a{suffix}", files)
    first, large, last = members(path, IMAGE_SUFFIXES, Counter())
    assert isinstance(first, ArchiveMember)
    assert isinstance(last, ArchiveMember)
    assert isinstance(large, BadSource)
    assert f"{path}#large.jpg" in large.error.message


def test_a_header_that_claims_too_much_fills_no_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 8 * 2**30
    for name in ("a.tar", "a.tgz"):
        opener = gzip.open if name.endswith("gz") else open
        with opener(tmp_path / name, "wb") as file:
            file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
        assert "claims 8,589,934,592 bytes" in problems(tmp_path / name)[0]


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = tarred(tmp_path / "a.tar", {f"{number}.jpg": b"x" * 100 for number in range(4)})
    content = bytearray(path.read_bytes())
    content[2048:2560] = os.urandom(512)
    path.write_bytes(content)
    found = list(members(path, IMAGE_SUFFIXES, Counter()))
    assert len([each for each in found if isinstance(each, ArchiveMember)]) == 2
    assert "damaged" in problems(path)[0]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 4000), st.booleans())
def test_whatever_is_in_an_archive_nothing_is_raised(noise: bytes, at: int, as_zip: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {"a.jpg": b"a" * 900, "b/c.png": b"b" * 100}
        path = (zipped(Path(folder, "a.zip"), files)) if as_zip else tarred(Path(folder, "a.tar"), files)
        whole = path.read_bytes()
        path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
        for each in members(path, IMAGE_SUFFIXES, Counter()):
            if isinstance(each, ArchiveMember):
                with suppress(*READING_ERRORS):
                    read(each)


def test_what_is_an_archive() -> None:
    assert all(map(is_archive, ("a.zip", "A.ZIP", "b.tar", "c.tar.gz", "d.tgz", "e.tar.xz", "f.tar.bz2")))
    assert not any(map(is_archive, ("a.gz", "b.rar", "zip", "photo.jpg")))


def test_an_archive_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    zipped(tmp_path / "a.zip", {"a.jpg": b"a"})
    left_out = LeftOut()
    assert list(scan([tmp_path], left_out)) == []
    assert left_out.passed_over == {".zip": 1}
    assert len(list(scan([tmp_path / "*.zip"], left_out))) == 1


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "a.jpg",
        "b.png",
        "x1/c.jpg",
        "x1/deep/d.jpg",
        "x2/e.jpg",
        "x2/n.txt",
        ".h/f.jpg",
        ".g.jpg",
        "[1].jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["[1].jpg", "a.jpg"]),
        ("?.*", ["a.jpg", "b.png"]),
        ("**/*.jpg", ["[1].jpg", "a.jpg", "x1/c.jpg", "x1/deep/d.jpg", "x2/e.jpg"]),
        ("**", ["[1].jpg", "a.jpg", "b.png", "x1/c.jpg", "x1/deep/d.jpg", "x2/e.jpg"]),
        ("**/**", ["[1].jpg", "a.jpg", "b.png", "x1/c.jpg", "x1/deep/d.jpg", "x2/e.jpg"]),
        ("x[12]", ["x1/c.jpg", "x1/deep/d.jpg", "x2/e.jpg"]),
        ("x?/*.jpg", ["x1/c.jpg", "x2/e.jpg"]),
        ("**/deep/*", ["x1/deep/d.jpg"]),
        (".*", [".g.jpg", ".h/f.jpg"]),
        ("[1].jpg", ["[1].jpg"]),
    ],
)
def test_patterns(tree: Path, pattern: str, names: list[str]) -> None:
    found = [each.image for each in scan([Path(pattern)], LeftOut()) if isinstance(each, NewImage)]
    assert [Path(str(each)).as_posix() for each in found] == names
    absolute = [each for each in scan([tree / pattern], LeftOut()) if isinstance(each, NewImage)]
    assert len(absolute) == len(names)


def test_a_pattern_of_nothing_is_told(tree: Path) -> None:
    [bad] = scan([Path("*.heic")], LeftOut())
    assert isinstance(bad, BadSource)
    assert "nothing is there" in bad.error.message
    assert list(expand(str(tree / "x9" / "*"))) != list(expand(str(tree / "x1" / "*")))


def test_lists_of_paths() -> None:
    lines = io.BytesIO(b"a.jpg\r\n\nb c.jpg\n\xff.jpg\nlast")
    assert [os.fsencode(each) for each in read_paths(lines, null=False)] == [b"a.jpg", b"b c.jpg", b"\xff.jpg", b"last"]
    nulls = io.BytesIO(b"a\nb.jpg\0c.jpg\0")
    assert list(map(str, read_paths(nulls, null=True))) == ["a\nb.jpg", "c.jpg"]
    many = b"".join(b"%d.jpg\n" % number for number in range(50_000))
    assert len(list(read_paths(io.BytesIO(many), null=False))) == 50_000
    assert sum(len(str(each)) for each in read_paths(io.BytesIO(b"x" * 3 * LONGEST), null=False)) == 3 * LONGEST
