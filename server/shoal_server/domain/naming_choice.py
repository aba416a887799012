"""Which of the words that fit a cluster becomes its name.

Names are unlike one another and stable like ids: a cluster keeps the name it has until another word is clearly better.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shoal_server.domain.cluster import NameCandidate
from shoal_server.domain.hints import NO_HINT, Hint
from shoal_server.domain.naming_scores import WordScores

#: How many names are kept for each cluster.
CANDIDATES = 5
#: A cluster keeps its word unless the best beats it by more than this many standard deviations of the cluster's scores.
MARGIN = 0.5
#: A cluster whose best word is another's takes the next one only if it is within this many standard deviations.
REACH = 1.0
#: Between a word and its hint: "waterfall · 2019-07".
SEPARATOR = " · "

# How far down the list of words candidates are looked for; of all that share a word with a better one, one stays.
_LOOK_AT = 8 * CANDIDATES
_NUMBERED = re.compile(r"(?P<word>.+) (?P<number>[2-9]|[1-9]\d+)")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one cluster would be called if it were alone.

    Attributes:
        fitting: words by score, best first; the wish itself is among them.
        word: the wish.
        present: the name it has, if it is one with that word.
        reach: scores below this are no alternative.
        lead: of the best over the second best, in standard deviations.
    """

    fitting: tuple[NameCandidate, ...]
    word: str
    present: str | None
    reach: float
    lead: float

    @property
    def score(self) -> float:
        return next(candidate.score for candidate in self.fitting if candidate.name == self.word)


def choose_names(
    scores: WordScores,
    present: Sequence[str | None] = (),
    hints: Sequence[Hint] = (),
    taken: Collection[str] = (),
    suggested: Sequence[str | None] = (),
) -> list[tuple[NameCandidate, ...]]:
    """Names every cluster; no two get the same name, and none gets one that is taken (in any case of letters).

    1. A cluster wants the word it has while that is within :data:`MARGIN` of its best, else its best.
    2. A name that is wanted again stays as it is; its hint or number stays with it while the hint holds.
    3. A new name takes a hint if another cluster wants the word and has not that hint, or if the hint alone sets the
       cluster apart (:attr:`Hint.telling`).
    4. Of clusters that want the same word without a hint, the one gets it whose best word leads by most. The others
       take the next word within :data:`REACH` that nobody wants, or a number ("cat 2").

    The same input gives the same names, whatever the order of the clusters, unless their scores are the same.

    Args:
        scores: of w words for k clusters.
        present: for each cluster the automatic name it has, None for none; empty means none has one.
        hints: for each cluster, see :func:`shoal_server.domain.hints.time_and_place_hints`; empty means none.
        taken: names in use, for instance those that people gave.
        suggested: for each cluster a name from its captions, None for none; empty means none. It goes before every
            word but takes the place of a present name only if that is not among the best words any more.

    Returns:
        For each cluster up to five candidates: its name, then (if that has a hint or a number) the plain word, then
        what else fits, best first. Of words that contain one that fits better ("desk lamp" after "lamp") none is
        given. Empty only if there is nothing to choose from.
    """
    count = len(scores.values)
    of_word = {word: column for column, word in enumerate(scores.words)}
    every_hint = list(hints) or [NO_HINT] * count
    now = list(present) or [None] * count
    captions = list(suggested) or [None] * count
    wishes = {
        cluster: wish
        for cluster in range(count)
        if (wish := _wish(scores, of_word, cluster, now[cluster], captions[cluster])) is not None
    }
    order = sorted(wishes, key=lambda cluster: (*_rank(wishes[cluster]), scores.values[cluster].tobytes()))
    used = {name.casefold() for name in taken}
    names: dict[int, str] = {}
    for cluster in order:
        if (kept := _kept(wishes[cluster], every_hint[cluster])) is not None and kept.casefold() not in used:
            names[cluster] = kept
            used.add(kept.casefold())
    wanted = {wish.word.casefold() for wish in wishes.values()}
    for cluster in order:
        if cluster not in names:
            rivals = [every_hint[other] for other in wishes if other != cluster and _same(wishes, other, cluster)]
            names[cluster] = _new_name(wishes[cluster], every_hint[cluster], rivals, used, wanted)
            used.add(names[cluster].casefold())
    return [_candidates(wishes[cluster], names[cluster]) if cluster in wishes else () for cluster in range(count)]


def plain_word(name: str, words: Collection[str]) -> str:
    """An automatic name without its hint or number: "waterfall" for "waterfall · 2019-07" and "waterfall 2"."""
    if name in words:
        return name
    word = name.partition(SEPARATOR)[0]
    numbered = _NUMBERED.fullmatch(word)
    return numbered["word"] if word not in words and numbered is not None else word


def _wish(
    scores: WordScores, of_word: Mapping[str, int], cluster: int, present: str | None, suggestion: str | None
) -> _Wish | None:
    values = scores.values[cluster]
    spread = float(values.std()) if len(values) else 0.0
    ranked = [
        NameCandidate(scores.words[column], float(values[column]))
        for column in np.argsort(-values, kind="stable")[:_LOOK_AT]
    ]
    if suggestion:
        top = ranked[0].score if ranked else 1.0
        first = NameCandidate(suggestion, top + MARGIN * spread)
        ranked = [first, *(candidate for candidate in ranked if candidate.name != suggestion)]
    if not ranked:
        return None
    best = ranked[0]
    word, keeps = best.name, None
    if present is not None:
        was = plain_word(present, of_word.keys() | {best.name})
        if was in of_word:
            score = float(values[of_word[was]])
        else:
            # Captions of the same images vary in their words; one in common makes it the same name.
            score = best.score if suggestion and set(was.split()) & set(suggestion.split()) else -np.inf
        if was == best.name or score >= best.score - MARGIN * spread:
            word, keeps = was, present
            ranked = sorted(
                [NameCandidate(was, score), *(candidate for candidate in ranked if candidate.name != was)],
                key=lambda candidate: -candidate.score,
            )
    lead = (ranked[0].score - ranked[1].score) / spread if len(ranked) > 1 and spread > 0 else 0.0
    return _Wish(tuple(_unlike(ranked, word)), word, keeps, best.score - REACH * spread, lead)


def _unlike(ranked: Sequence[NameCandidate], word: str) -> Iterable[NameCandidate]:
    """The first few, without those that only add to the words of a better one; the word itself always stays."""
    chosen: list[NameCandidate] = []
    for candidate in ranked:
        if len(chosen) == CANDIDATES:
            break
        parts = set(candidate.name.split())
        if candidate.name == word or not any(set(better.name.split()) < parts for better in chosen):
            chosen.append(candidate)
    if all(candidate.name != word for candidate in chosen):
        chosen[-1] = next(candidate for candidate in ranked if candidate.name == word)
    return chosen


def _rank(wish: _Wish) -> tuple[bool, float, str, float]:
    """A name that stays goes before one that is new: nobody's name is taken away by a newcomer."""
    return wish.present is None, -wish.lead, wish.word, -wish.score


def _kept(wish: _Wish, hint: Hint) -> str | None:
    if wish.present is None:
        return None
    _, separator, said = wish.present.partition(SEPARATOR)
    return None if separator and not hint.holds(said) else wish.present


def _same(wishes: Mapping[int, _Wish], one: int, other: int) -> bool:
    return wishes[one].word.casefold() == wishes[other].word.casefold()


def _new_name(wish: _Wish, hint: Hint, rivals: Sequence[Hint], used: Collection[str], wanted: Collection[str]) -> str:
    word = wish.word
    if rivals or word.casefold() in used:
        for text in hint.texts:
            name = f"{word}{SEPARATOR}{text}"
            if name.casefold() not in used and not any(rival.holds(text) for rival in rivals):
                return name
    elif hint.telling is not None and (name := f"{word}{SEPARATOR}{hint.telling}").casefold() not in used:
        return name
    if word.casefold() not in used:
        return word
    for candidate in wish.fitting:
        free = candidate.name.casefold() not in used and candidate.name.casefold() not in wanted
        if free and candidate.score >= wish.reach:
            return candidate.name
    number = 2
    while f"{word} {number}".casefold() in used:
        number += 1
    return f"{word} {number}"


def _candidates(wish: _Wish, name: str) -> tuple[NameCandidate, ...]:
    """The name first, with the score of its word."""
    score = {candidate.name: candidate.score for candidate in wish.fitting}
    first = NameCandidate(name, score.get(name, wish.score))
    rest = [candidate for candidate in wish.fitting if candidate.name != name]
    # After a name with a hint or number comes its plain word, whatever its place.
    rest.sort(key=lambda candidate: (name not in score and candidate.name != wish.word, -candidate.score))
    return (first, *rest)[:CANDIDATES]
