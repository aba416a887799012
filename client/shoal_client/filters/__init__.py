"""Which images are meant: typed conditions for programs, and a small language for people."""

from shoal_client.filters.expressions import where
from shoal_client.filters.image_filter import Attribute, Between, Bound, Bounds, ImageFilter

__all__ = ["Attribute", "Between", "Bound", "Bounds", "ImageFilter", "where"]
