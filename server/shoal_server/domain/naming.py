"""Names for clusters, chosen from a vocabulary.

A word is a good name if it fits the cluster *better than it fits the other clusters*: "photograph" is near everything
and names nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NameCandidate
from shoal_server.domain.errors import InvalidField

#: How many names are kept for each cluster.
CANDIDATES = 5
MAX_WORD = 64

# With this many other clusters, a word's mean over them counts half.
_FEW_CLUSTERS = 3


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What clusters can be called.

    Attributes:
        words: the names, lower case, each once.
        synonyms: other words for the same thing, one tuple for each word; often empty.
    """

    words: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """What to embed: every word followed by its synonyms."""
        return tuple(text for word, others in zip(self.words, self.synonyms, strict=True) for text in (word, *others))

    @property
    def names(self) -> tuple[str, ...]:
        """The word that each of :attr:`texts` stands for; with its vectors, the input of :func:`name_clusters`."""
        return tuple(
            word for word, others in zip(self.words, self.synonyms, strict=True) for _ in range(1 + len(others))
        )


def parse_vocabulary(text: str) -> Vocabulary:
    """Reads a vocabulary: one word or short phrase a line, ``word = synonym, synonym``; ``#`` begins a comment.

    Raises:
        InvalidField: a line is not of that form, a word stands twice, or there is no word at all. The message names
            the line.
    """
    words: list[str] = []
    synonyms: list[tuple[str, ...]] = []
    line_of: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        head, equals, tail = line.partition("=")
        terms = [" ".join(term.lower().split()) for term in (head, *(tail.split(",") if equals else ()))]
        for term in terms:
            if not term or len(term) > MAX_WORD or "=" in term:
                raise InvalidField(
                    "vocabulary",
                    f"line {number}: {raw.strip()[:80]!r} is not of the form 'word' or 'word = synonym, synonym' with "
                    f"1 to {MAX_WORD} characters each",
                )
            if term in line_of:
                raise InvalidField("vocabulary", f"line {number}: {term!r} stands already on line {line_of[term]}")
            line_of[term] = number
        words.append(terms[0])
        synonyms.append(tuple(terms[1:]))
    if not words:
        raise InvalidField("vocabulary", "there is no word in it; write one name a line")
    return Vocabulary(words=tuple(words), synonyms=tuple(synonyms))


def name_clusters(
    centroids: NDArray[np.float32],
    words: Sequence[str],
    word_vectors: NDArray[np.float32],
    taken: Collection[str] = (),
) -> list[tuple[NameCandidate, ...]]:
    """Names every cluster; no two get the same name, and none gets one that is taken.

    A word's score for a cluster is its similarity less its mean similarity to the other clusters, the mean counted in
    full only where there are many others. Of two clusters that want the same word, the one gets it whose best word
    leads its second best by more. Deterministic: the same input gives the same names.

    Args:
        centroids: float32 (k, d), unit length.
        words: w words to choose from; a word that stands several times (for its synonyms) counts by its best vector.
        word_vectors: float32 (w, d), unit length, in the space of the centroids.
        taken: names in use already, for instance those that people gave.

    Returns:
        For each cluster up to five candidates: its name first, then what else fits, best first. The name has a number
        ("cat 2") if all that fit are taken. Empty only if there are no words. Scores lie between -2 and 2 and compare
        words for one cluster; for a single cluster they are the similarities.
    """
    if not len(words) or not len(centroids):
        return [()] * len(centroids)
    distinct, similarities = _best_of_synonyms(words, centroids @ word_vectors.T)
    scores = _distinctiveness(similarities)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :CANDIDATES]
    used = {name.casefold() for name in taken}
    named: dict[int, tuple[NameCandidate, ...]] = {}
    for cluster in _surest_first(np.take_along_axis(scores, best, axis=1)):
        fitting = [NameCandidate(distinct[word], float(scores[cluster, word])) for word in best[cluster]]
        name = next((candidate for candidate in fitting if candidate.name.casefold() not in used), None)
        if name is None:
            name = NameCandidate(_numbered(fitting[0].name, used), fitting[0].score)
        used.add(name.name.casefold())
        named[cluster] = (name, *(candidate for candidate in fitting if candidate is not name))[:CANDIDATES]
    return [named[cluster] for cluster in range(len(centroids))]


def _best_of_synonyms(words: Sequence[str], similarities: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
    """Each word once, in the order of first appearance, with its greatest similarity to each cluster."""
    row_of = {word: row for row, word in enumerate(dict.fromkeys(words))}
    best = np.full((len(row_of), len(similarities)), -np.inf, dtype=np.float32)
    np.maximum.at(best, [row_of[word] for word in words], similarities.T)
    return list(row_of), best.T


def _distinctiveness(similarities: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k, w) similarities to (k, w) scores.

    The mean over the other clusters is what a word has everywhere: in CLIP's space some words are near every image.
    Two clusters are too few to know it from, hence the weight.
    """
    others = len(similarities) - 1
    mean_elsewhere = (similarities.sum(axis=0) - similarities) / max(others, 1)
    scores: NDArray[np.float32] = similarities - mean_elsewhere * np.float32(others / (others + _FEW_CLUSTERS))
    return scores


def _surest_first(top_scores: NDArray[np.float32]) -> list[int]:
    """Clusters by how clearly the best of their words, (k, up to 5) best first, leads the second."""
    margin = top_scores[:, 0] - top_scores[:, min(1, top_scores.shape[1] - 1)]
    return [int(cluster) for cluster in np.argsort(-margin, kind="stable")]


def _numbered(name: str, used: Collection[str]) -> str:
    number = 2
    while f"{name} {number}".casefold() in used:
        number += 1
    return f"{name} {number}"
