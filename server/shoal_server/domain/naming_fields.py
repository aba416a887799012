"""Names for clusters out of what their images' own fields say: "species: heron"."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from shoal_server.domain.image import Image
from shoal_server.domain.naming_scores import WordScores

#: Of a cluster's images that were looked at, so many must have the value.
AGREE = 0.6
#: Among other clusters' images it may be at most this times as frequent.
ELSEWHERE = 0.5
#: A longer text is no name.
MAX_VALUE = 60

# The least score there is: a word that does not fit is nobody's second choice either.
_UNFIT = -2.0


def fitting_values(images: Mapping[int, Sequence[Image]], sizes: Mapping[int, int]) -> tuple[list[int], WordScores]:
    """Which values of which fields set clusters apart.

    Args:
        images: some of each cluster's, by cluster id.
        sizes: of these clusters, in images.

    Returns:
        The clusters that a value sets apart, and scores of values as words ("species: heron") for them: the share of
        images with it, less the share of other clusters' images; -2 where it does not fit.
    """
    shares = {cluster: _shares(some) for cluster, some in images.items() if some}
    total = sum(sizes[cluster] for cluster in shares)
    everywhere: defaultdict[str, float] = defaultdict(float)
    for cluster, share_of in shares.items():
        for word, share in share_of.items():
            everywhere[word] += share * sizes[cluster]
    fitting: dict[int, dict[str, float]] = {}
    for cluster, share_of in shares.items():
        others = max(total - sizes[cluster], 1)
        for word, share in share_of.items():
            elsewhere = (everywhere[word] - share * sizes[cluster]) / others
            if share >= AGREE and elsewhere <= ELSEWHERE * share:
                fitting.setdefault(cluster, {})[word] = share - elsewhere
    words = tuple(sorted({word for scores in fitting.values() for word in scores}))
    values = np.full((len(fitting), len(words)), _UNFIT, dtype=np.float32)
    column_of = {word: column for column, word in enumerate(words)}
    for row, scores in enumerate(fitting.values()):
        for word, score in scores.items():
            values[row, column_of[word]] = score
    return list(fitting), WordScores(words, values)


def _shares(images: Sequence[Image]) -> dict[str, float]:
    counted = Counter(word for image in images for word in set(_words(image)))
    return {word: count / len(images) for word, count in counted.items()}


def _words(image: Image) -> list[str]:
    """Texts and whole numbers: a measure or a yes is no name."""
    found = [
        f"{key}: {text}"
        for key, value in image.attributes.items()
        if isinstance(value, str | int) and not isinstance(value, bool) and (text := _value(value))
    ]
    return found + [f"tags: {text}" for tag in image.tags if (text := _value(tag))]


def _value(value: str | int) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_VALUE and text.isprintable() else ""
