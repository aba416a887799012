"""Names for clusters, chosen from a vocabulary.

A word is a good name if it fits the cluster *better than it fits the other clusters*: "photograph" is near everything
and names nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NameCandidate
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.naming_choice import choose_names
from shoal_server.domain.naming_scores import score_words

MAX_WORD = 64


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What clusters can be called.

    Attributes:
        words: the names, lower case, each once.
        synonyms: other words for the same thing, one tuple for each word; often empty.
        glosses: phrases that describe the thing ("candle holder with many branches"), one tuple for each word; often
            empty. They help models that do not know the word, are no names, and may stand with several words. No
            tuples at all: there is none.
    """

    words: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    glosses: tuple[tuple[str, ...], ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """What to embed: every word followed by its synonyms and glosses."""
        return tuple(text for _, text in self._pairs())

    @property
    def names(self) -> tuple[str, ...]:
        """The word that each of :attr:`texts` stands for; with its vectors, the input of :func:`name_clusters`."""
        return tuple(word for word, _ in self._pairs())

    def _pairs(self) -> Iterator[tuple[str, str]]:
        every_gloss = self.glosses or ((),) * len(self.words)
        for word, synonyms, glosses in zip(self.words, self.synonyms, every_gloss, strict=True):
            for text in (word, *synonyms, *glosses):
                yield word, text


def parse_vocabulary(text: str) -> Vocabulary:
    """Reads a vocabulary: one word or short phrase a line, ``word = synonym, synonym ~ gloss, gloss``.

    Synonyms and glosses may be left out, each with its sign; ``#`` begins a comment.

    Raises:
        InvalidField: a line is not of that form, a word or synonym stands twice, a gloss twice with one word, or there
            is no word at all. The message names the line.
    """
    words: list[str] = []
    synonyms: list[tuple[str, ...]] = []
    glosses: list[tuple[str, ...]] = []
    line_of: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        named, tilde, described = line.partition("~")
        word, equals, others = named.partition("=")
        terms = _terms(word, *(others.split(",") if equals else ()))
        phrases = _terms(*(described.split(",") if tilde else ()))
        if any(not term or len(term) > MAX_WORD or "=" in term or "~" in term for term in (*terms, *phrases)):
            raise InvalidField(
                "vocabulary",
                f"line {number}: {raw.strip()[:80]!r} is not of the form 'word' or 'word = synonym, synonym ~ gloss, "
                f"gloss' with 1 to {MAX_WORD} characters each",
            )
        for term in terms:
            if term in line_of:
                raise InvalidField("vocabulary", f"line {number}: {term!r} stands already on line {line_of[term]}")
            line_of[term] = number
        if len({*terms, *phrases}) < len(terms) + len(phrases):
            raise InvalidField("vocabulary", f"line {number}: {raw.strip()[:80]!r} says the same twice")
        words.append(terms[0])
        synonyms.append(terms[1:])
        glosses.append(phrases)
    if not words:
        raise InvalidField("vocabulary", "there is no word in it; write one name a line")
    return Vocabulary(words=tuple(words), synonyms=tuple(synonyms), glosses=tuple(glosses))


def mix_glosses(vocabulary: Vocabulary, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Puts the mean of a gloss and its word in the place of every gloss.

    A gloss describes more things than its word names ("grey sea animal"), so it counts by half, and the word itself by
    the other half: a similarity to the mean is the mean of both similarities. It is not scaled to unit length, so a
    gloss far from its word does not count for more than the two say. Descriptions as prompts are from Menon and
    Vondrick 2023 (https://arxiv.org/abs/2210.07183), who take the mean as well.

    Args:
        vocabulary: of n texts.
        vectors: float32 (n, d), unit length, of :attr:`Vocabulary.texts`.

    Returns:
        float32 (n, d), length at most 1.
    """
    if not vocabulary.glosses:
        return vectors
    mixed = vectors.copy()
    row = 0
    for synonyms, glosses in zip(vocabulary.synonyms, vocabulary.glosses, strict=True):
        first = row + 1 + len(synonyms)
        mixed[first : first + len(glosses)] = (vectors[first : first + len(glosses)] + vectors[row]) / 2
        row = first + len(glosses)
    return mixed


def _terms(*parts: str) -> tuple[str, ...]:
    return tuple(" ".join(part.lower().split()) for part in parts)


def name_clusters(
    centroids: NDArray[np.float32],
    words: Sequence[str],
    word_vectors: NDArray[np.float32],
    taken: Collection[str] = (),
) -> list[tuple[NameCandidate, ...]]:
    """Names groups that have no names yet: :func:`score_words` and :func:`choose_names` in one.

    Args:
        centroids: float32 (k, d), unit length.
        words: w words to choose from; a word that stands several times (for its synonyms) counts by its best vector.
        word_vectors: float32 (w, d), at most unit length, in the space of the centroids.
        taken: names in use already, for instance those that people gave.

    Returns:
        For each group up to five candidates, its name first; see :func:`choose_names`.
    """
    return choose_names(score_words(centroids, words, word_vectors), taken=taken)
