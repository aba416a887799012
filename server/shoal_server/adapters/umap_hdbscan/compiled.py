"""Compiled code that is kept from process to process."""

from __future__ import annotations

import umap.umap_

#: The functions that Shoal calls of those that UMAP has compiled anew, for some ten seconds, in every process.
_FORGOTTEN = (
    (umap.umap_, "smooth_knn_dist"),
    (umap.umap_, "compute_membership_strengths"),
)


def keep_compiled() -> None:
    """Lets numba keep UMAP's code in its cache, as it does what says so itself.

    To be called before they are. Under other names in another version of UMAP, they only cost their time.
    """
    for module, name in _FORGOTTEN:
        enable = getattr(getattr(module, name, None), "enable_caching", None)
        if enable is not None:
            enable()
