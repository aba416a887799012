"""The version of what Shoal keeps in a Qdrant server, and the steps from one version to the next."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from shoal_server.adapters.qdrant_store.catalog import Catalog
from shoal_server.domain.errors import StoreIncompatible

_log = logging.getLogger(__name__)

#: Changes what one version wrote, so that it is as the next one writes it. It can be done again from its beginning,
#: whatever a crash left of it, and by two servers at once.
Step = Callable[[Catalog], Awaitable[None]]

#: What this version writes. A change that an older version would take for something else raises it, and adds the step
#: that brings what is there up to date. New fields of records do neither: older versions pass them over.
FORMAT = 1

#: From a version to the one after it.
STEPS: Mapping[int, Step] = {}

_KIND = "format"


async def bring_up_to_date(
    catalog: Catalog, location: str, steps: Mapping[int, Step] = STEPS, newest: int = FORMAT
) -> None:
    """Does what is to be done to the records of an older version; where no version stands, it is the first.

    The version is written after each step: a crash on the way leaves the version that there was, and the step is done
    again.

    Args:
        catalog: with the records.
        location: where they are, for messages.
        steps: from each version to the next.
        newest: what the records have afterwards.

    Raises:
        StoreIncompatible: a newer version wrote the records, or one so old that no step leads on from it.
    """
    present = await catalog.find(_KIND, "", "", lambda record: int(record["format"]))
    found = 1 if present is None else present
    if found > newest:
        raise StoreIncompatible(
            f"what Shoal keeps in {location} has format {found}, but this version of Shoal reads formats up to "
            f"{newest}; start the version that wrote it or a newer one"
        )
    for version in range(found, newest):
        if version not in steps:
            raise StoreIncompatible(
                f"what Shoal keeps in {location} has format {version}, which this version of Shoal no longer brings up "
                "to date; start a version in between once"
            )
        _log.info("bringing the records in %s from format %d to %d", location, version, version + 1)
        await steps[version](catalog)
        await catalog.put(_KIND, "", "", {"format": version + 1})
    if present is None and found == newest:
        await catalog.put(_KIND, "", "", {"format": newest})
