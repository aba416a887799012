"""Who may do what: roles, API keys and callers.

A key is ``shoal_``, its id, ``_`` and a secret of 256 random bits. Only its SHA-256 is kept. A slow hash (scrypt,
argon2) protects secrets that people choose and others can guess; nobody guesses 256 random bits from a digest, and
every call would pay for it. A pepper would have to lie beside the file that it protects.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import string
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from shoal_server.domain.collection import check_collection_id
from shoal_server.domain.errors import InvalidField

#: Characters of a key's name.
MAX_NAME = 60

_PREFIX = "shoal_"
_ID_ALPHABET = string.ascii_lowercase + string.digits
_ID_LENGTH = 10
_SECRET_ALPHABET = string.ascii_letters + string.digits
#: 43 characters of 62 are 256 bits.
_SECRET_LENGTH = 43
_KEY = re.compile(rf"shoal_([a-z0-9]{{{_ID_LENGTH}}})_[A-Za-z0-9]{{{_SECRET_LENGTH}}}")
_SPAN = re.compile(r"([0-9]{1,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


class Role(Enum):
    """What a caller may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether whoever has this role may do what the other is needed for."""
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key. It cannot be made into the key again.

    Attributes:
        id: the part of the key that is no secret.
        name: whose it is, as people call it.
        role: what it is good for.
        collections: the only ones it is good for; None: all of them.
        sha256: of the whole key, 64 hexadecimal digits.
        created_at: aware, UTC.
        expires_at: from when on it is good for nothing; None: never.
        revoked_at: when somebody took it back; None if it stands.
    """

    id: str
    name: str
    role: Role
    collections: frozenset[str] | None
    sha256: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def matches(self, key: str) -> bool:
        """Whether this is the key; takes the same time whatever it is compared with."""
        return hmac.compare_digest(self.sha256, digest(key))

    def problem(self, now: datetime) -> str | None:
        """Why the key is good for nothing; None if it is good."""
        if self.revoked_at is not None:
            return f"the key {self.id} was revoked"
        if self.expires_at is not None and now >= self.expires_at:
            return f"the key {self.id} expired at {self.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        return None

    def revoked(self, now: datetime) -> ApiKey:
        """The key, good for nothing."""
        return self if self.revoked_at is not None else replace(self, revoked_at=now)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do.

    Attributes:
        id: for limits and records: ``key:ID``, ``certificate:SUBJECT`` or ``address:ADDRESS``.
        name: for people.
        role: what they may do.
        collections: where; None: everywhere.
        authenticated: whether they have shown who they are.
    """

    id: str
    name: str
    role: Role
    collections: frozenset[str] | None = None
    authenticated: bool = True

    def sees(self, collection: str) -> bool:
        """Whether they may know of a collection."""
        return self.collections is None or collection in self.collections


def make_key(
    name: str, role: Role, collections: frozenset[str] | None, now: datetime, expires_at: datetime | None
) -> tuple[str, ApiKey]:
    """A key and what is kept of it.

    Args:
        name: whose it is: 1 to 60 printable characters.
        role: what it is good for.
        collections: the only ones it is good for; None: all.
        now: aware, UTC.
        expires_at: aware, UTC, after ``now``; None: never.

    Raises:
        InvalidField: one of these is not so.
        InvalidName: a collection's id does not have its form.
    """
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise InvalidField("name", f"{name[:80]!r} is not 1 to {MAX_NAME} printable characters, for instance 'nightly'")
    if expires_at is not None and expires_at <= now:
        raise InvalidField("expires", f"{expires_at:%Y-%m-%dT%H:%M:%SZ} is over already")
    for collection in collections or ():
        check_collection_id(collection)
    identity = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    key = f"{_PREFIX}{identity}_{''.join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))}"
    return key, ApiKey(identity, name, role, collections, digest(key), now, expires_at)


def key_id(key: str) -> str | None:
    """The id in a key; None if it does not have the form of one."""
    match = _KEY.fullmatch(key)
    return None if match is None else match[1]


def digest(key: str) -> str:
    """SHA-256 of a key, in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def network_of(host: str) -> str:
    """An IP address, or of IPv6 the network that one customer has (/64); empty if it is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(ipaddress.IPv6Network((address, 64), strict=False))
    return str(address)


def expiry(text: str, now: datetime) -> datetime:
    """A time span from now on (``90d``, ``12h``, ``8w``), or a date or time with an offset, as a time in UTC.

    Raises:
        InvalidField: it is none of these.
    """
    if span := _SPAN.fullmatch(text):
        return now + timedelta(hours=int(span[1]) * _HOURS[span[2]])
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidField(
            "expires", f"{text[:40]!r} is neither a span like 90d or 12h nor a date like 2027-01-31"
        ) from None
    return (time.replace(tzinfo=now.tzinfo) if time.tzinfo is None else time).astimezone(now.tzinfo)
