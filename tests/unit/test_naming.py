"""Names are distinctive, unlike one another, and the same each time."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.naming import CANDIDATES, MAX_WORD, Vocabulary, name_clusters, parse_vocabulary


def unit(rows: object) -> NDArray[np.float32]:
    matrix = np.asarray(rows, dtype=np.float32)
    unit_rows: NDArray[np.float32] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit_rows


def names(
    centroids: NDArray[np.float32], words: list[str], vectors: NDArray[np.float32], taken: tuple[str, ...] = ()
) -> list[str]:
    return [candidates[0].name for candidates in name_clusters(centroids, words, vectors, taken)]


def test_vocabulary_has_words_synonyms_and_comments() -> None:
    vocabulary = parse_vocabulary("# animals\ncat\n\n  Sofa =  couch,settee # furniture\r\npolar   bear\n")

    assert vocabulary == Vocabulary(words=("cat", "sofa", "polar bear"), synonyms=((), ("couch", "settee"), ()))
    assert vocabulary.texts == ("cat", "sofa", "couch", "settee", "polar bear")
    assert vocabulary.names == ("cat", "sofa", "sofa", "sofa", "polar bear")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cat\ndog\ncat", r"line 3: 'cat' stands already on line 1"),
        ("cat = kitty\nkitty", r"line 2: 'kitty' stands already on line 1"),
        ("cat =", "line 1: 'cat =' is not of the form"),
        ("= cat", "line 1"),
        ("cat = a,,b", "line 1"),
        ("cat = a = b", "line 1"),
        ("\n\n" + "x" * (MAX_WORD + 1), "line 3"),
        ("# nothing\n", "there is no word"),
        ("", "there is no word"),
    ],
)
def test_vocabulary_complaint_names_the_line(text: str, complaint: str) -> None:
    with pytest.raises(InvalidField, match=complaint):
        parse_vocabulary(text)


@given(st.text())
def test_any_text_is_a_vocabulary_or_refused(text: str) -> None:
    try:
        vocabulary = parse_vocabulary(text)
    except InvalidField:
        return
    assert len(vocabulary.words) == len(vocabulary.synonyms) > 0
    assert len(set(vocabulary.texts)) == len(vocabulary.texts) == len(vocabulary.names)


def test_the_shipped_vocabulary_is_sound() -> None:
    vocabulary = parse_vocabulary(files("shoal_server.vocabulary").joinpath("en.txt").read_text(encoding="utf-8"))

    assert len(vocabulary.words) > 1000
    assert {"accordion", "leopard", "stop sign", "pagoda", "trilobite", "wedding", "x-ray image"} <= set(
        vocabulary.words
    )


def test_the_nearest_word_is_the_name() -> None:
    assert names(unit(np.eye(3)), ["cat", "car", "cup"], unit(np.eye(3)[[1, 2, 0]])) == ["cup", "cat", "car"]


def test_a_word_that_fits_every_cluster_names_none() -> None:
    everywhere, special = np.ones((6, 1)), np.eye(6)
    clusters = unit(np.hstack([3 * everywhere, special]))
    words = ["thing", "cat", "car", "cup", "sea", "sky", "map"]
    vectors = unit(np.vstack([np.eye(1, 7), np.hstack([everywhere, 2 * special])]))
    assert np.all(np.argmax(clusters @ vectors.T, axis=1) == 0)

    assert names(clusters, words, vectors) == words[1:]


def test_one_cluster_is_named_by_similarity() -> None:
    (candidates,) = name_clusters(unit([[1, 0.2]]), ["up", "right", "left"], unit([[0, 1], [1, 0], [-1, 0]]))

    assert [candidate.name for candidate in candidates] == ["right", "up", "left"]
    assert candidates[0].score == pytest.approx(1 / np.sqrt(1.04))


def test_the_surer_cluster_gets_the_word_both_want() -> None:
    clusters = unit([[1, 0.9, 0], [1, 0, 0]])
    words, vectors = ["cat", "kitten"], unit([[1, 0, 0], [0, 1, 0]])

    assert names(clusters, words, vectors) == ["kitten", "cat"]


def test_names_get_a_number_when_the_words_run_out() -> None:
    clusters = unit([[1, 0], [1, 0], [1, 0]])

    assert names(clusters, ["cat"], unit([[1, 0]])) == ["cat", "cat 2", "cat 3"]
    assert names(clusters, ["cat"], unit([[1, 0]]), taken=("Cat", "cat 3")) == ["cat 2", "cat 4", "cat 5"]


def test_a_taken_name_is_not_given_again_but_stays_a_candidate() -> None:
    (candidates,) = name_clusters(unit([[1, 0.2]]), ["cat", "dog"], unit([[1, 0], [0, 1]]), taken={"CAT"})

    assert [candidate.name for candidate in candidates] == ["dog", "cat"]


def test_a_synonym_counts_for_its_word() -> None:
    vocabulary = parse_vocabulary("sofa = couch\nchair")
    vectors = unit([[0, 0, 1], [1, 0, 0], [0.9, 0.1, 0]])

    (candidates,) = name_clusters(unit([[1, 0, 0]]), vocabulary.names, vectors)

    assert [candidate.name for candidate in candidates] == ["sofa", "chair"]


def test_no_words_and_no_clusters() -> None:
    assert name_clusters(unit(np.eye(2)), [], np.empty((0, 2), np.float32)) == [(), ()]
    assert name_clusters(np.empty((0, 2), np.float32), ["cat"], unit([[1, 0]])) == []


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_names_differ_and_are_the_same_each_time(clusters: int, words: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    centroids = unit(random.normal(size=(clusters, 8)))
    vocabulary = [f"word {'abcdefghijkl'[index]}" for index in range(words)]
    vectors = unit(random.normal(size=(words, 8)))

    named = name_clusters(centroids, vocabulary, vectors)

    assert named == name_clusters(centroids, vocabulary, vectors)
    assert len({candidates[0].name for candidates in named}) == clusters
    for candidates in named:
        assert 1 <= len(candidates) <= CANDIDATES
        assert len({candidate.name for candidate in candidates}) == len(candidates)
        others = [candidate.score for candidate in candidates[1:]]
        assert others == sorted(others, reverse=True)
