"""Stores that stumble or take their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.application.ports import StoredVectors
from shoal_server.domain.errors import ShoalError, StoreUnavailable


def replace_in_stores(
    monkeypatch: pytest.MonkeyPatch, method: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Wraps a method of whichever store the server has."""
    for store in (EdgeStore, QdrantStore):
        monkeypatch.setattr(store, method, wrap(getattr(store, method)))


def stumble(
    monkeypatch: pytest.MonkeyPatch, method: str, times: int, after: int = 0, error: ShoalError | None = None
) -> Callable[[], int]:
    """Makes a method of the store fail some times, after it has worked some times; returns how often it was called."""
    calls = 0

    def stumbling(works: Callable[..., Any]) -> Callable[..., Any]:
        async def stumble_or_work(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if after < calls <= after + times:
                raise error or StoreUnavailable("edge", "it stumbled")
            return await works(*arguments)

        return stumble_or_work

    replace_in_stores(monkeypatch, method, stumbling)
    return lambda: calls


def slow(monkeypatch: pytest.MonkeyPatch, method: str, seconds: float = 0.1) -> None:
    """Makes a method of the store take its time."""

    def slow_down(works: Callable[..., Any]) -> Callable[..., Any]:
        async def work_slowly(*arguments: Any) -> Any:
            await asyncio.sleep(seconds)
            return await works(*arguments)

        return work_slowly

    replace_in_stores(monkeypatch, method, slow_down)


def hold_reading(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Holds up whoever reads the vectors, after the first of them: set when that is so, and to be set to go on."""
    held, may_go_on = asyncio.Event(), asyncio.Event()

    def held_up(works: Callable[..., Any]) -> Callable[..., Any]:
        async def read(
            store: Any, collection: str, with_vectors: bool = True, batch: int = 1024
        ) -> AsyncIterator[StoredVectors]:
            async for stretch in works(store, collection, with_vectors, batch):
                yield stretch
                if with_vectors:
                    held.set()
                    await may_go_on.wait()

        return read

    replace_in_stores(monkeypatch, "scan_vectors", held_up)
    return held, may_go_on


def record_groups(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int | None, set[str]]]:
    """Notes field, id and images of everything that is written back."""
    written: list[tuple[str, int | None, set[str]]] = []

    def noted(works: Callable[..., Any]) -> Callable[..., Any]:
        async def note_and_work(store: Any, collection: str, field: str, group_id: int | None, ids: Any) -> Any:
            written.append((field, group_id, {str(identity) for identity in ids}))
            return await works(store, collection, field, group_id, ids)

        return note_and_work

    replace_in_stores(monkeypatch, "set_group", noted)
    return written
