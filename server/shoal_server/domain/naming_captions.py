"""A name for a cluster from captions of its typical images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

#: A name from captions has at most this many words.
MAX_NAME_WORDS = 3
#: Part of a name is what at least this share of the captions say.
AGREED = 0.5

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
# What captions say of any image, and the words that hold a sentence together: they end a phrase.
_EMPTY_TEXT = """
    a an the this that these those some any each one two three four five several many few lot lots of group bunch pair
    and or but with without in on at to from by for into onto over under near next beside behind between front top
    side middle up down out off around through across along against inside outside above below background foreground
    is are was were be being been has have had there it its his her their he she they them who which as while
    photo photograph picture image shot view close close-up closeup scene showing shown shows seen
    very large small big little different other another same all both
    sitting standing lying laying walking looking holding wearing hanging parked flying made using taken going being
"""
_EMPTY = frozenset(_EMPTY_TEXT.split())


def name_from_captions(captions: Sequence[str]) -> str:
    """The longest phrase that most captions have in common: "red car" for "a red car on a road", "the red car".

    A phrase is a run of up to three words between words that say nothing of what is shown (articles, prepositions,
    "photo of", "standing"). The longest wins that stands in at least half of the captions; of equally long ones the
    more frequent, then the one that is named earlier, then the first by the alphabet.

    Args:
        captions: English, one for each image.

    Returns:
        Lower case; empty if the captions do not agree on anything.
    """
    count: Counter[str] = Counter()
    earliness: Counter[str] = Counter()
    said = 0
    for caption in captions:
        places = _phrases(caption.lower())
        said += bool(places)
        count.update(places.keys())
        for phrase, place in places.items():
            earliness[phrase] -= place
    agreed = [phrase for phrase, times in count.items() if times >= AGREED * said and times >= min(2, said)]
    return min(
        agreed,
        key=lambda phrase: (-len(phrase.split()), -count[phrase], -earliness[phrase] / count[phrase], phrase),
        default="",
    )


def _phrases(caption: str) -> dict[str, int]:
    """Each phrase of a caption with the place where it first stands."""
    places: dict[str, int] = {}
    run: list[str] = []
    place = 0
    for piece in re.split(r"[.,;:!?]", caption):
        run.clear()
        for word in _WORD.findall(piece):
            place += 1
            if word in _EMPTY:
                run.clear()
                continue
            # A stammering model repeats itself.
            if run and run[-1] == word:
                continue
            run.append(word)
            for length in range(1, min(len(run), MAX_NAME_WORDS) + 1):
                places.setdefault(" ".join(run[-length:]), place)
    return places
