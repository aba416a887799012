"""Names that every file system takes."""

from __future__ import annotations

import unicodedata
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_client.export.safe_names import file_names, folder_name, safe_name

ANYTHING = st.text(st.characters(codec=None), max_size=300)


@given(ANYTHING)
def test_a_safe_name_is_one_name_everywhere(name: str) -> None:
    safe = safe_name(name)
    assert not set(safe) & set('<>:"/\\|?*\0\n\r\t')
    assert len(safe.encode()) <= 181
    assert safe == safe.strip(" ")
    assert not safe.endswith(".")
    assert safe == unicodedata.normalize("NFC", safe)
    assert not any(unicodedata.category(each)[0] == "C" for each in safe)


@given(ANYTHING)
def test_a_safe_name_stays_as_it_is(name: str) -> None:
    assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("waterfall · 2019-07", "waterfall · 2019-07"),
        ("cats/dogs", "cats_dogs"),
        ("../../etc", ".._.._etc"),
        ("what?", "what_"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("console", "console"),
        ("end. . ", "end"),
        ("  two   spaces ", "two spaces"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("Mo\u0308we", "Möwe"),
        ("..", ""),
    ],
)
def test_examples(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_folders() -> None:
    assert folder_name(7, "cats/dogs") == "7 cats_dogs"
    assert folder_name(7, None) == folder_name(7, "...") == "7"
    assert len(folder_name(2**62, "ü" * 300).encode()) < 255


def test_files_that_collide_are_told_apart_by_their_image() -> None:
    a, b, c = (str(UUID(int=number << 96)) for number in (1, 2, 3))
    assert file_names({a: "x.JPG", b: "X.jpg", c: "y.jpg"}) == {
        a: "x (00000001).JPG",
        b: "X (00000002).jpg",
        c: "y.jpg",
    }
    alike = str(UUID(int=(1 << 96) + 1))
    assert file_names({a: "x.jpg", alike: "x.jpg"}) == {a: f"x ({a}).jpg", alike: f"x ({alike}).jpg"}
    assert file_names({a: "???", b: "..", c: ".jpg"}) == {a: "___", b: "image", c: ".jpg"}


@given(st.dictionaries(st.uuids().map(str), ANYTHING, max_size=12))
def test_no_two_files_share_a_name(wanted: dict[str, str]) -> None:
    names = file_names(wanted)
    assert names.keys() == wanted.keys()
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names.values()}) == len(names)
    assert all(name.strip(". ") and "/" not in name and len(name.encode()) < 245 for name in names.values())
