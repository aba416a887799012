"""Sorting pictures into folders: what is made, what is changed, and what is refused."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from shoal_client import ExportedImage, FailedPrecondition, Image, ImageMetadata
from shoal_client.export.folders import Sorted, sort_into
from shoal_client.export.placement import local_path, place
from shoal_client.export.record import RECORD, Manner

METADATA = ImageMetadata(2, 1, "PNG", 9)


def exported(number: int, uri: str, cluster: int | None = None, name: str | None = None) -> ExportedImage:
    image = Image(str(UUID(int=number)), "s", uri, (), cluster, METADATA, datetime(2024, 1, 1, tzinfo=UTC))
    return ExportedImage(image, cluster, name, 1.0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "Fotos ä"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.jpg").write_text(f"picture {name}")
    return folder


Layout = Mapping[str, tuple[int | None, str | None]]
CATS: Layout = {"a": (1, "cats"), "b": (1, "cats"), "c": (2, "dogs"), "d": (None, None)}


def sort(photos: Path, target: Path, layout: Layout, manner: Manner = Manner.SYMLINK) -> Sorted:
    images = [
        exported(ord(name), (photos / f"{name}.jpg").as_uri(), cluster, title)
        for name, (cluster, title) in layout.items()
    ]
    placed, failed = place(images)
    assert failed == []
    return sort_into(target, placed, manner)


def tree(target: Path) -> dict[str, str]:
    """The files' texts by path, without the record."""
    files = (path for path in sorted(target.rglob("*")) if not path.is_dir() and path.name != RECORD)
    return {path.relative_to(target).as_posix(): path.read_text() for path in files}


SORTED_CATS = {
    "1 cats/a.jpg": "picture a",
    "1 cats/b.jpg": "picture b",
    "2 dogs/c.jpg": "picture c",
    "unclustered/d.jpg": "picture d",
}


def counts(outcome: Sorted) -> Sequence[int]:
    return outcome.made, outcome.renamed, outcome.removed, outcome.unchanged, len(outcome.failed)


@pytest.mark.parametrize("manner", Manner)
def test_pictures_are_sorted(photos: Path, tmp_path: Path, manner: Manner) -> None:
    target = tmp_path / "out" / "sorted"
    assert counts(sort(photos, target, CATS, manner)) == (4, 0, 0, 0, 0)
    assert tree(target) == SORTED_CATS
    made = target / "1 cats" / "a.jpg"
    assert made.is_symlink() == (manner is Manner.SYMLINK)
    assert made.samefile(photos / "a.jpg") == (manner is not Manner.COPY)
    assert counts(sort(photos, target, CATS, manner)) == (0, 0, 0, 4, 0)


def identity(path: Path) -> tuple[int, int]:
    """Differs if the file was made again or written to, and not if it was only read."""
    status = os.lstat(path)
    return status.st_ino, status.st_mtime_ns


@pytest.mark.parametrize("manner", Manner)
def test_sorting_again_changes_what_differs(photos: Path, tmp_path: Path, manner: Manner) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS, manner)
    untouched = identity(target / "2 dogs" / "c.jpg")
    changed = {"a": (1, "kittens"), "b": (2, "dogs"), "c": (2, "dogs")}
    outcome = sort(photos, target, changed, manner)
    moved = (2, 0) if manner is Manner.SYMLINK else (0, 2)
    assert (outcome.made, outcome.renamed) == moved
    assert outcome.removed == (3 if manner is Manner.SYMLINK else 1)
    assert tree(target) == {"1 kittens/a.jpg": "picture a", "2 dogs/b.jpg": "picture b", "2 dogs/c.jpg": "picture c"}
    assert sorted(path.name for path in target.iterdir()) == [RECORD, "1 kittens", "2 dogs"]
    assert identity(target / "2 dogs" / "c.jpg") == untouched


@pytest.mark.parametrize("manner", Manner)
def test_pictures_change_places(tmp_path: Path, manner: Manner) -> None:
    files = [tmp_path / name / "x.jpg" for name in ("one", "two")]
    for file in files:
        file.parent.mkdir()
        file.write_text(file.parent.name)
    target = tmp_path / "sorted"

    def sort_to(clusters: tuple[int, int], on_progress: Callable[[], None] = lambda: None) -> None:
        images = [exported(n, file.as_uri(), cluster) for n, file, cluster in zip((1, 2), files, clusters, strict=True)]
        assert sort_into(target, place(images)[0], manner, on_progress).failed == []

    def interrupt() -> None:
        raise KeyboardInterrupt

    sort_to((1, 2))
    sort_to((2, 1))
    assert tree(target) == {"1/x.jpg": "two", "2/x.jpg": "one"}
    with pytest.raises(KeyboardInterrupt):
        sort_to((1, 2), interrupt)
    sort_to((2, 1))
    assert tree(target) == {"1/x.jpg": "two", "2/x.jpg": "one"}


@pytest.mark.parametrize(("before", "after"), [(Manner.SYMLINK, Manner.COPY), (Manner.COPY, Manner.HARDLINK)])
def test_the_manner_changes(photos: Path, tmp_path: Path, before: Manner, after: Manner) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS, before)
    assert counts(sort(photos, target, CATS, after)) == (4, 0, 4, 0, 0)
    made = target / "1 cats" / "a.jpg"
    assert not made.is_symlink()
    assert made.samefile(photos / "a.jpg") == (after is Manner.HARDLINK)


def test_what_no_export_made_is_refused(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "sorted"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(FailedPrecondition, match=r"what no export put there.*: mine\.txt; move that away"):
        sort(photos, target, CATS)
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    (target / "mine.txt").unlink()
    sort(photos, target, CATS)
    for name in "vwxyz":
        (target / "1 cats" / name).write_text("mine")
    with pytest.raises(FailedPrecondition, match=r"1 cats/v, 1 cats/w, 1 cats/x and 2 more"):
        sort(photos, target, {})
    assert tree(target) == SORTED_CATS | {f"1 cats/{name}": "mine" for name in "vwxyz"}


def test_an_edited_copy_is_not_overwritten(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS, Manner.COPY)
    edited = target / "1 cats" / "a.jpg"
    edited.write_text("much better")
    with pytest.raises(FailedPrecondition, match=r"changed since: 1 cats/a\.jpg"):
        sort(photos, target, {}, Manner.COPY)
    assert edited.read_text() == "much better"


def test_a_linked_folder_is_not_followed(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS)
    (target / "mine").symlink_to(photos, target_is_directory=True)
    with pytest.raises(FailedPrecondition, match=": mine;"):
        sort(photos, target, CATS)


def test_what_file_browsers_leave_behind_is_no_obstacle(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS)
    for name in (".DS_Store", "1 cats/Thumbs.db"):
        (target / name).write_text("litter")
    (target / "empty").mkdir()
    assert sort(photos, target, {}).removed == 4
    assert sorted(path.name for path in target.iterdir()) == [".DS_Store", RECORD, "1 cats", "empty"]


def test_a_picture_that_was_replaced_is_copied_again(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS, Manner.COPY)
    (photos / "a.jpg").write_text("another one")
    os.utime(photos / "a.jpg", (1, 1))
    assert counts(sort(photos, target, CATS, Manner.COPY)) == (1, 0, 1, 3, 0)
    assert tree(target)["1 cats/a.jpg"] == "another one"


def test_missing_pictures_fail_alone(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS)
    (photos / "a.jpg").unlink()
    outcome = sort(photos, target, CATS)
    assert counts(outcome) == (0, 0, 1, 3, 1)
    assert outcome.failed[0].problem == f"{photos / 'a.jpg'}: there is no such file"
    assert not os.path.lexists(target / "1 cats" / "a.jpg")


def test_the_last_copy_of_a_picture_is_never_removed(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS, Manner.COPY)
    shutil.rmtree(photos)
    moved = {"a": (3, "tigers"), "b": (1, "cats")}
    outcome = sort(photos, target, moved, Manner.COPY)
    assert counts(outcome) == (0, 1, 0, 1, 0)
    assert sorted(outcome.orphans) == ["2 dogs/c.jpg", "unclustered/d.jpg"]
    everything = {
        "1 cats/b.jpg": "picture b",
        "2 dogs/c.jpg": "picture c",
        "3 tigers/a.jpg": "picture a",
        "unclustered/d.jpg": "picture d",
    }
    assert tree(target) == everything
    sort(photos, target, moved, Manner.COPY)
    assert tree(target) == everything


@pytest.mark.parametrize("manner", Manner)
@pytest.mark.parametrize("at", range(1, 5))
def test_an_export_that_was_broken_off_is_repeated(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: Manner, at: int
) -> None:
    target = tmp_path / "sorted"
    sort(photos, target, CATS, manner)
    done = 0

    def interrupt() -> None:
        nonlocal done
        done += 1
        if done == at:
            raise KeyboardInterrupt

    changed: Layout = {"a": (1, "kittens"), "b": (2, "dogs"), "c": (1, "kittens"), "d": (5, "new")}
    placed, _ = place(exported(ord(n), (photos / f"{n}.jpg").as_uri(), *where) for n, where in changed.items())
    with pytest.raises(KeyboardInterrupt):
        sort_into(target, placed, manner, interrupt)
    if manner is Manner.COPY:
        (target / "1 kittens" / "half.shoal-part").write_text("half")
    assert sort(photos, target, changed, manner).failed == []
    assert tree(target) == {
        "1 kittens/a.jpg": "picture a",
        "1 kittens/c.jpg": "picture c",
        "2 dogs/b.jpg": "picture b",
        "5 new/d.jpg": "picture d",
    }


def test_a_copy_that_breaks_off_leaves_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    outcome = sort(photos, tmp_path / "sorted", CATS, Manner.COPY)
    assert (outcome.made, len(outcome.failed)) == (0, 4)
    assert outcome.failed[0].problem.endswith("a.jpg: No space left on device")
    assert tree(tmp_path / "sorted") == {}


def test_a_hard_link_to_another_disk_says_what_to_do(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    outcome = sort(photos, tmp_path / "sorted", CATS, Manner.HARDLINK)
    assert "use --symlink or --copy" in outcome.failed[0].problem


@pytest.mark.parametrize(
    "content", ["[]", "{}", "no JSON", '{"version": 2, "files": []}', '{"version": 1, "files": [{}]}']
)
def test_a_record_that_is_none(photos: Path, tmp_path: Path, content: str) -> None:
    target = tmp_path / "sorted"
    target.mkdir()
    (target / RECORD).write_text(content)
    with pytest.raises(FailedPrecondition, match="is not the record of an export"):
        sort(photos, target, CATS)


def test_uris() -> None:
    assert local_path("file:///a%20b/%C3%A4.jpg") == Path("/a b/ä.jpg")
    assert local_path("file://localhost/a.jpg") == Path("/a.jpg")
    assert local_path("file:///a%FF.jpg") == Path(os.fsdecode(b"/a\xff.jpg"))
    for other in ("", "https://x/a.jpg", "file://host/a.jpg", "/a.jpg", "s3://b/a.jpg", "file:///a%00b", "http://[x"):
        assert local_path(other) is None


def test_images_elsewhere_are_reported() -> None:
    placed, failed = place([exported(1, "https://x/a.jpg", 1, "cats"), exported(2, "")])
    assert placed == []
    assert [each.problem for each in failed] == [
        "only file:// URIs can be put into folders",
        "it was stored without a URI",
    ]


def test_a_name_that_is_no_text_goes_round(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff.jpg")
    try:
        file.write_text("picture")
    except OSError:
        pytest.skip("this file system takes only names that are text")
    target = tmp_path / "sorted"
    for expected in ((1, 0), (0, 1)):
        outcome = sort_into(target, place([exported(1, file.as_uri(), 1, "x")])[0], Manner.SYMLINK)
        assert (outcome.made, outcome.unchanged) == expected
    assert tree(target) == {"1 x/_.jpg": "picture"}
