"""Which names of a vocabulary are right for a label, where a label is the name of a folder."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driver import Shoal
from measures import majorities

from shoal_server.domain.naming import Vocabulary, parse_vocabulary

#: Labels of Caltech-101 that are no plain word for what is to be seen, and such words for it.
_ALIASES: Mapping[str, Sequence[str]] = {
    "brontosaurus": ("brontosaurus", "dinosaur"),
    "buddha": ("buddha", "buddha statue", "statue"),
    "car_side": ("car",),
    "cellphone": ("cellphone", "mobile phone", "phone"),
    "cougar_body": ("cougar",),
    "cougar_face": ("cougar",),
    "crocodile_head": ("crocodile",),
    "dollar_bill": ("dollar bill", "banknote", "money"),
    "ewer": ("ewer", "jug", "pitcher"),
    "faces": ("face", "person", "portrait"),
    "faces_easy": ("face", "person", "portrait"),
    "flamingo_head": ("flamingo",),
    "garfield": ("garfield", "cartoon"),
    "gramophone": ("gramophone", "record player"),
    "hawksbill": ("hawksbill", "sea turtle", "turtle"),
    "inline_skate": ("inline skate", "roller skate"),
    "ketch": ("ketch", "sailboat", "sailing ship"),
    "motorbikes": ("motorbike", "motorcycle"),
    "schooner": ("schooner", "sailboat", "sailing ship"),
    "snoopy": ("snoopy", "cartoon"),
    "stegosaurus": ("stegosaurus", "dinosaur"),
    "water_lilly": ("water lily",),
    "wild_cat": ("wildcat", "wild cat"),
    "windsor_chair": ("windsor chair", "chair"),
}
#: What is set between a name and a hint about place or time.
_HINT = " · "
#: Names looked at of each cluster.
_TOP = 3


@dataclass(frozen=True)
class Named:
    """How many clusters have a majority label that the vocabulary has a word for, and what they are called.

    Attributes:
        nameable: how many there are.
        first: of these, how many have a right name.
        top: of these, how many have a right one among their first three.
        wrong: the others' labels and names.
    """

    nameable: int
    first: int
    top: int
    wrong: tuple[str, ...]


def shipped_vocabulary() -> Vocabulary:
    """The one that comes with the server."""
    file = importlib.resources.files("shoal_server.vocabulary") / "en.txt"
    return parse_vocabulary(file.read_text(encoding="utf-8"))


def right_names(label: str, vocabulary: Vocabulary) -> set[str]:
    """The vocabulary's names that stand for a label; none if it has no word for it.

    A label's words are those of the table above, or else itself in lower case with spaces for underscores, in the
    plural or the singular. A name is right if it or a synonym of it is one of these words.
    """
    folded = label.lower()
    plain = folded.replace("_", " ").replace("-", " ")
    words = {singular for word in _ALIASES.get(folded, (plain,)) for singular in singulars(word)}
    entries = zip(vocabulary.words, vocabulary.synonyms, strict=True)
    return {name for name, synonyms in entries if any(words & singulars(text) for text in (name, *synonyms))}


def singulars(word: str) -> set[str]:
    """A word or phrase and what would be its singular, if it were a plural."""
    found = {word}
    for ending, instead in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            found.add(word.removesuffix(ending) + instead)
    return found


def named(shoal: Shoal) -> Named:
    """Looks at the names of all clusters as they are now."""
    vocabulary = shipped_vocabulary()
    main = majorities(shoal.cluster_ids())
    nameable = first = top = 0
    wrong = []
    for cluster in shoal.clusters():
        right = right_names(main[cluster.id], vocabulary)
        if not right:
            continue
        names = [cluster.name, *(candidate.name for candidate in cluster.name_candidates)]
        shown = list(dict.fromkeys(name.partition(_HINT)[0] for name in names))[:_TOP]
        nameable += 1
        first += shown[0] in right
        top += bool(right & set(shown))
        if not right & set(shown):
            wrong.append(f"{main[cluster.id]}: {', '.join(shown)}")
    return Named(nameable, first, top, tuple(wrong))
