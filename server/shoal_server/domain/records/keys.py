"""API keys as records."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from shoal_server.domain.access import ApiKey, Role
from shoal_server.domain.records.values import Record, optional_datetime, optional_iso

VERSION = 1

_SHA256 = re.compile(r"[0-9a-f]{64}")


def keys_to_record(keys: Iterable[ApiKey]) -> Record:
    """Keys as JSON values."""
    return {"version": VERSION, "keys": [_key_to_record(key) for key in keys]}


def keys_from_record(record: Mapping[str, Any]) -> tuple[ApiKey, ...]:
    """The inverse of :func:`keys_to_record`.

    Raises:
        ValueError: a newer version wrote it, or it is no record of keys.
        KeyError: something is missing.
        TypeError: something is of another type.
    """
    if record["version"] != VERSION:
        raise ValueError(f"it has version {record['version']!r}, and this version of Shoal reads version {VERSION}")
    keys = tuple(_key_from_record(each) for each in record["keys"])
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two keys have the same id")
    return keys


def _key_to_record(key: ApiKey) -> Record:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "collections": None if key.collections is None else sorted(key.collections),
        "sha256": key.sha256,
        "created_at": key.created_at.isoformat(),
        "expires_at": optional_iso(key.expires_at),
        "revoked_at": optional_iso(key.revoked_at),
    }


def _key_from_record(record: Mapping[str, Any]) -> ApiKey:
    sha256, collections = str(record["sha256"]), record["collections"]
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"the sha256 of key {record['id']!r} is not 64 hexadecimal digits")
    # A text would be taken for the list of its letters, and a scope must never be larger than whoever wrote it meant.
    if collections is not None and not isinstance(collections, list):
        raise TypeError(f"the collections of key {record['id']!r} are no list")
    key = ApiKey(
        id=str(record["id"]),
        name=str(record["name"]),
        role=Role(record["role"]),
        collections=None if collections is None else frozenset(map(str, collections)),
        sha256=sha256,
        created_at=datetime.fromisoformat(record["created_at"]),
        expires_at=optional_datetime(record["expires_at"]),
        revoked_at=optional_datetime(record["revoked_at"]),
    )
    if key.expires_at is not None and key.expires_at.tzinfo is None:
        raise ValueError(f"the expiry of key {key.id!r} has no offset from UTC")
    return key
