"""Walks through the pages of a list."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from shoal_client.errors import InvalidArgument

#: The most that the server puts on a page.
MAX_PAGE = 1000

Item = TypeVar("Item")


async def walk(fetch: Callable[[str], Awaitable[tuple[Sequence[Item], str]]]) -> AsyncGenerator[Item, None]:
    """Yields the items of all pages; a page is fetched when the one before is used up.

    Args:
        fetch: answers a page's items and the token of the next one (empty on the last), given the page's token.
    """
    token = ""
    while True:
        items, token = await fetch(token)
        for item in items:
            yield item
        if not token:
            return


async def first(limit: int, items: AsyncGenerator[Item, None]) -> list[Item]:
    """The first ``limit`` items, or all if there are fewer.

    Raises:
        InvalidArgument: limit is below 1.
    """
    if limit < 1:
        raise InvalidArgument(f"limit is {limit}; it must be at least 1", reason="INVALID_FIELD")
    found: list[Item] = []
    try:
        async for item in items:
            found.append(item)
            if len(found) == limit:
                break
    finally:
        await items.aclose()
    return found
