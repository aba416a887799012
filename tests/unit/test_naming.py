"""Names are distinctive, unlike one another, and the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.hints import NO_HINT, Hint
from shoal_server.domain.naming import MAX_WORD, Vocabulary, mix_glosses, name_clusters, parse_vocabulary
from shoal_server.domain.naming_captions import MAX_NAME_WORDS, name_from_captions
from shoal_server.domain.naming_choice import CANDIDATES, MARGIN, choose_names, plain_word
from shoal_server.domain.naming_scores import WordScores, score_words


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

    assert vocabulary == Vocabulary(
        words=("cat", "sofa", "polar bear"), synonyms=((), ("couch", "settee"), ()), glosses=((), (), ())
    )
    assert vocabulary.texts == ("cat", "sofa", "couch", "settee", "polar bear")
    assert vocabulary.names == ("cat", "sofa", "sofa", "sofa", "polar bear")


def test_glosses_are_embedded_and_are_no_synonyms() -> None:
    vocabulary = parse_vocabulary("seal ~ sea animal\nwhale = orca ~ Sea  animal,huge fish # of a kind\nanimal")

    assert vocabulary.words == ("seal", "whale", "animal")
    assert vocabulary.synonyms == ((), ("orca",), ())
    assert vocabulary.glosses == (("sea animal",), ("sea animal", "huge fish"), ())
    assert vocabulary.texts == ("seal", "sea animal", "whale", "orca", "sea animal", "huge fish", "animal")
    assert vocabulary.names == ("seal", "seal", "whale", "whale", "whale", "whale", "animal")


def test_a_gloss_counts_by_half() -> None:
    vocabulary = parse_vocabulary("menorah = candelabrum ~ candle holder\nmantis")
    centroid = unit([[1, 0, 0, 0]])

    mixed = mix_glosses(vocabulary, unit(np.eye(4)[[1, 2, 3, 1]]))
    assert mixed == pytest.approx(np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0.5, 0, 0.5], [0, 1, 0, 0]]))

    near = unit([[0.4, 0.9, 0, 0], [0, 1, 0, 0], [0.8, 0.6, 0, 0], [0.5, 0.8, 0, 0]])
    word, _, gloss, _ = near @ centroid[0]
    scores = score_words(centroid, vocabulary.names, mix_glosses(vocabulary, near))
    assert scores.values[0, 0] == pytest.approx((word + gloss) / 2)


def test_a_gloss_that_fits_less_than_its_word_changes_nothing() -> None:
    vocabulary = parse_vocabulary("cat ~ small animal")
    vectors = unit([[1, 0.1], [0, 1]])

    scores = score_words(unit([[1, 0]]), vocabulary.names, mix_glosses(vocabulary, vectors))

    assert scores.values[0, 0] == pytest.approx(vectors[0, 0])


def test_without_glosses_there_is_nothing_to_mix() -> None:
    vocabulary = Vocabulary(words=("cat", "dog"), synonyms=((), ("hound",)))
    vectors = unit(np.eye(3))

    assert vocabulary.texts == ("cat", "dog", "hound")
    assert np.array_equal(mix_glosses(vocabulary, vectors), vectors)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cat\ndog\ncat", r"line 3: 'cat' stands already on line 1"),
        ("cat = kitty\nkitty", r"line 2: 'kitty' stands already on line 1"),
        ("cat =", "line 1: 'cat =' is not of the form"),
        ("= cat", "line 1"),
        ("cat = a,,b", "line 1"),
        ("cat = a = b", "line 1"),
        ("cat ~", "line 1: 'cat ~' is not of the form"),
        ("~ small animal", "line 1"),
        ("cat ~ a ~ b", "line 1"),
        ("cat ~ pet = b", "line 1"),
        ("cat ~ a,,b", "line 1"),
        ("dog\ncat = puss ~ animal, puss", "line 2: .* says the same twice"),
        ("cat ~ animal, animal", "line 1: .* says the same twice"),
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
    assert len(vocabulary.words) == len(vocabulary.synonyms) == len(vocabulary.glosses) > 0
    pairs = list(zip(vocabulary.names, vocabulary.texts, strict=True))
    assert len(set(pairs)) == len(pairs)
    plain = [*vocabulary.words, *(synonym for each in vocabulary.synonyms for synonym in each)]
    assert len(set(plain)) == len(plain)


def test_the_shipped_vocabulary_is_sound() -> None:
    vocabulary = parse_vocabulary(files("shoal_server.vocabulary").joinpath("en.txt").read_text(encoding="utf-8"))

    assert len(vocabulary.words) > 2000
    # On a small machine a CLIP model embeds about 60 a second, at the first run.
    assert len(vocabulary.texts) <= 5500
    assert all(2 <= len(gloss.split()) <= 9 for glosses in vocabulary.glosses for gloss in glosses)
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
    (candidates,) = name_clusters(unit([[1, 0.8, -1]]), ["cat", "kitten", "boat"], unit(np.eye(3)), taken={"CAT"})

    assert [candidate.name for candidate in candidates] == ["kitten", "cat", "boat"]


def test_a_number_is_better_than_a_word_that_does_not_fit() -> None:
    (candidates,) = name_clusters(unit([[1, 0.2]]), ["cat", "boat"], unit([[1, 0], [0, 1]]), taken={"CAT"})

    assert [candidate.name for candidate in candidates] == ["cat 2", "cat", "boat"]


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
        plain = plain_word(candidates[0].name, vocabulary)
        others = [candidate.score for candidate in candidates[1:] if candidate.name != plain]
        assert others == sorted(others, reverse=True)


def scores_of(*rows: dict[str, float]) -> WordScores:
    words = tuple(dict.fromkeys(word for row in rows for word in row))
    return WordScores(words, np.array([[row.get(word, 0.0) for word in words] for row in rows], dtype=np.float32))


def chosen(
    scores: WordScores,
    present: Sequence[str | None] = (),
    hints: Sequence[Hint] = (),
    taken: tuple[str, ...] = (),
    suggested: Sequence[str | None] = (),
) -> list[str]:
    return [candidates[0].name for candidates in choose_names(scores, present, hints, taken, suggested)]


JULY, YEAR = Hint(("2019-07", "2019")), Hint(("2021",))


def test_candidates_do_not_add_to_a_better_word() -> None:
    scores = scores_of({"lamp": 0.9, "desk lamp": 0.8, "street lamp": 0.7, "candle": 0.6, "sea": 0.1})
    specific_first = scores_of({"grand piano": 0.9, "piano": 0.8, "harp": 0.1})

    assert [candidate.name for candidate in choose_names(scores)[0]] == ["lamp", "candle", "sea"]
    assert [candidate.name for candidate in choose_names(specific_first)[0]] == ["grand piano", "piano", "harp"]


def test_a_name_stays_until_another_is_clearly_better() -> None:
    row = {"cat": 1.0, "kitten": 0.9, "dog": 0.0, "sea": 0.0}
    spread = float(np.std(list(row.values())))
    assert 0.1 < MARGIN * spread < 1.0

    assert chosen(scores_of(row)) == ["cat"]
    assert chosen(scores_of(row), present=["kitten"]) == ["kitten"]
    assert chosen(scores_of(row), present=["dog"]) == ["cat"]
    assert chosen(scores_of(row), present=["a word of another vocabulary"]) == ["cat"]


def test_a_newcomer_takes_nobodys_name() -> None:
    scores = scores_of({"cat": 1.0, "kitten": 0.9, "dog": 0.0}, {"cat": 1.0, "kitten": 0.2, "dog": 0.1})

    assert chosen(scores) == ["kitten", "cat"]
    assert chosen(scores, present=["cat", None]) == ["cat", "cat 2"]
    assert chosen(scores, present=["cat 2", "cat"]) == ["cat 2", "cat"]


def test_hints_set_equal_words_apart() -> None:
    fall = {"waterfall": 1.0, "river": 0.0, "cat": 0.0}
    two, three = scores_of(fall, fall), scores_of(fall, fall, fall)

    assert chosen(two, hints=[JULY, YEAR]) == ["waterfall · 2019-07", "waterfall · 2021"]
    assert chosen(two, hints=[JULY, Hint()]) == ["waterfall · 2019-07", "waterfall"]
    assert chosen(two, present=["waterfall", None], hints=[JULY, YEAR]) == ["waterfall", "waterfall · 2021"]
    assert chosen(two, hints=[Hint(("2019",)), JULY]) == ["waterfall", "waterfall · 2019-07"]
    assert sorted(chosen(three, hints=[JULY, JULY, YEAR])) == ["waterfall", "waterfall 2", "waterfall · 2021"]
    assert chosen(scores_of(fall), hints=[JULY], taken=("Waterfall",)) == ["waterfall · 2019-07"]


def test_a_hint_that_is_not_needed_is_not_in_the_name() -> None:
    scores = scores_of({"waterfall": 1.0, "cat": 0.0}, {"waterfall": 0.0, "cat": 1.0})

    assert chosen(scores, hints=[JULY, YEAR]) == ["waterfall", "cat"]
    telling = Hint(("2019-07", "2019"), telling="2019-07")
    assert chosen(scores, hints=[telling, YEAR]) == ["waterfall · 2019-07", "cat"]
    assert chosen(scores, present=["waterfall", "cat"], hints=[telling, YEAR]) == ["waterfall", "cat"]


def test_a_hint_stays_while_it_holds() -> None:
    scores = scores_of({"waterfall": 1.0, "cat": 0.0}, {"waterfall": 0.0, "cat": 1.0})
    present = ["waterfall · 2019", "cat"]

    assert chosen(scores, present, [JULY, Hint()]) == present
    assert chosen(scores, present, [YEAR, Hint()]) == ["waterfall", "cat"]


def test_the_plain_word_of_a_hinted_name_comes_second() -> None:
    scores = scores_of({"waterfall": 1.0, "river": 0.9, "cat": 0.0})

    (candidates,) = choose_names(scores, hints=[JULY], taken=["waterfall"])

    assert [candidate.name for candidate in candidates] == ["waterfall · 2019-07", "waterfall", "river", "cat"]
    assert candidates[0].score == candidates[1].score == 1.0


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("waterfall · 2019-07", "waterfall"),
        ("waterfall 12", "waterfall"),
        ("waterfall", "waterfall"),
        ("area 51", "area 51"),
        ("area 51 2", "area 51"),
        ("route 1", "route 1"),
    ],
)
def test_plain_words(name: str, word: str) -> None:
    assert plain_word(name, {"waterfall", "area 51"}) == word


def test_captions_name_new_clusters_and_those_whose_word_is_no_longer_best() -> None:
    scores = scores_of({"car": 1.0, "bus": 0.3, "cat": 0.0})

    assert chosen(scores, suggested=["red car"]) == ["red car"]
    assert chosen(scores, present=["car"], suggested=["red car"]) == ["car"]
    assert chosen(scores, present=["cat"], suggested=["red car"]) == ["red car"]
    assert chosen(scores, present=["old car"], suggested=["red car"]) == ["old car"]
    assert chosen(scores, present=["old car"], suggested=["boat"]) == ["boat"]
    assert chosen(scores, present=["old car"]) == ["car"]
    assert chosen(scores_of({}), suggested=["red car"]) == ["red car"]


_values = st.floats(-1, 1, width=32)


@st.composite
def situations(draw: st.DrawFn) -> tuple[WordScores, list[str | None], list[Hint], list[str]]:
    clusters, words = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    vocabulary = [*"abcdefgh"[: words - 1], "a b"]
    values = draw(st.lists(st.lists(_values, min_size=words, max_size=words), min_size=clusters, max_size=clusters))
    names = st.sampled_from([*vocabulary, "a 2", "a · 2019", "b · 2021", "other"])
    present = draw(st.lists(st.none() | names, min_size=clusters, max_size=clusters))
    hints = draw(st.lists(st.sampled_from([Hint(), JULY, YEAR]), min_size=clusters, max_size=clusters))
    unlike = [name if name is None or name not in present[:row] else None for row, name in enumerate(present)]
    taken = draw(st.lists(names.map(str.upper), max_size=3))
    return WordScores(tuple(vocabulary), np.array(values, dtype=np.float32)), unlike, hints, taken


def test_the_order_of_clusters_whose_best_words_score_alike_says_nothing() -> None:
    scores = WordScores(("a", "a b"), np.array([[-1, 0], [-0.5, 0]], np.float32))
    one, two = chosen(scores, [None, None], [NO_HINT, NO_HINT], ())
    assert one != two
    turned = WordScores(scores.words, scores.values[::-1])
    assert chosen(turned, [None, None], [NO_HINT, NO_HINT], ()) == [two, one]


@given(situations(), st.randoms(use_true_random=False))
def test_names_are_unlike_true_and_stable(
    situation: tuple[WordScores, list[str | None], list[Hint], list[str]], random: Random
) -> None:
    scores, present, hints, taken = situation

    named = chosen(scores, present, hints, tuple(taken))

    folded = {name.casefold() for name in named}
    assert len(folded) == len(named)
    assert not folded & {name.casefold() for name in taken}
    for row, name in enumerate(named):
        word = plain_word(name, scores.words)
        _, separator, hint = name.partition(" · ")
        assert word in scores.words
        assert not separator or hints[row].holds(hint)
        values = scores.values[row]
        now = present[row]
        if now is None or now.casefold() in {each.casefold() for each in taken}:
            continue
        was = plain_word(now, scores.words)
        _, hinted, said = now.partition(" · ")
        fits = was in scores.words and (
            scores.words[int(np.argmax(values))] == was
            or values[scores.words.index(was)] >= float(values.max()) - MARGIN * float(values.std())
        )
        if fits and (not hinted or hints[row].holds(said)):
            assert name == now
    # Nothing changes without a reason: what was chosen stays.
    assert chosen(scores, named, hints, tuple(taken)) == named

    if len({tuple(row) for row in scores.values.tolist()}) == len(named):
        order = list(range(len(named)))
        random.shuffle(order)
        shuffled = chosen(
            WordScores(scores.words, scores.values[order]),
            [present[row] for row in order],
            [hints[row] for row in order],
            tuple(taken),
        )
        assert shuffled == [named[row] for row in order]


def test_scores_of_one_cluster_are_similarities() -> None:
    scores = score_words(unit([[1, 0]]), ["a", "b", "a"], unit([[0, 1], [1, 1], [1, 0]]))

    assert scores.words == ("a", "b")
    assert scores.values == pytest.approx(np.array([[1.0, np.sqrt(0.5)]]))


@pytest.mark.parametrize(
    ("captions", "name"),
    [
        (["a red car on a road", "the red car parked in front of a house", "a car"], "red car"),
        (["a close up of a dog", "two dogs and a dog", "a photo of a dog sitting on a sofa"], "dog"),
        (["a cat", "a boat", "a tree"], ""),
        (["a vase of flowers"], "vase"),
        (["waterfall waterfall waterfall", "a waterfall in the woods"], "waterfall"),
        (["", "a photo of the"], ""),
        ([], ""),
        (["a stop sign. a stop sign", "stop sign"], "stop sign"),
    ],
)
def test_a_name_from_captions(captions: list[str], name: str) -> None:
    assert name_from_captions(captions) == name


@given(st.lists(st.text(alphabet="abcd of.,-'", max_size=30), max_size=6), st.randoms(use_true_random=False))
def test_names_from_captions_are_short_and_do_not_depend_on_the_order(captions: list[str], random: Random) -> None:
    name = name_from_captions(captions)

    assert len(name.split()) <= MAX_NAME_WORDS
    assert all(any(part in caption for caption in captions) for part in name.split())
    shuffled = captions.copy()
    random.shuffle(shuffled)
    assert name_from_captions(shuffled) == name
