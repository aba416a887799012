"""What each route needs: a role, and credentials for the collection in its path.

A route that is not in the table cannot be made, and a test compares the table with what is served. The rules are those
of the RPC that does the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from shoal_server.domain.access import Role

#: What stands before the path of everything but the page itself.
PREFIX = "/api/v1"
#: The parameter of a path that is a collection's id.
COLLECTION = "collection"

_COLLECTION = f"{PREFIX}/collections/{{{COLLECTION}}}"


class Body(Enum):
    """What a request brings."""

    NONE = "none"
    JSON = "json"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a request needs.

    Attributes:
        role: the least; None: nothing, it is open to everybody.
        body: what it brings.
        own: the answer is about the caller's own collections, and it is the route that leaves out all others.
        names: the body names the collection, in the field ``collection_id``; it is the route that checks it.
        streams: the answer is open for as long as somebody reads it.
    """

    role: Role | None
    body: Body = Body.NONE
    own: bool = False
    names: bool = False
    streams: bool = False

    @property
    def recorded(self) -> bool:
        """Whether the request is put on record: it changes something, or takes everything."""
        return self.role in (Role.WRITE, Role.ADMIN)


_OPEN = Rule(None)
_READS = Rule(Role.READ)
_ASKS = Rule(Role.READ, Body.JSON)
_STREAMS = Rule(Role.READ, streams=True)
_WRITES = Rule(Role.WRITE, Body.JSON)
_REMOVES = Rule(Role.WRITE)

_IN_COLLECTION: Mapping[tuple[str, str], Rule] = {
    ("GET", ""): _READS,
    ("DELETE", ""): Rule(Role.ADMIN),
    ("GET", "/images"): _READS,
    ("POST", "/images"): Rule(Role.WRITE, Body.FILE),
    ("GET", "/images/{image}"): _READS,
    ("PATCH", "/images/{image}"): _WRITES,
    ("DELETE", "/images/{image}"): _REMOVES,
    ("GET", "/images/{image}/thumbnail"): _READS,
    ("GET", "/images/{image}/original"): _STREAMS,
    ("POST", "/images:get"): _ASKS,
    ("POST", "/images:check"): _ASKS,
    ("POST", "/images:search"): _ASKS,
    ("POST", "/images:facet"): _ASKS,
    ("POST", "/images:timeline"): _ASKS,
    ("POST", "/images:locations"): _ASKS,
    ("POST", "/images:assign"): _ASKS,
    ("POST", "/images:move"): _WRITES,
    ("POST", "/images:reassign_noise"): _WRITES,
    ("GET", "/clusters"): _READS,
    ("POST", "/clusters:search"): _ASKS,
    ("POST", "/clusters:merge"): _WRITES,
    ("GET", "/clusters/{cluster}"): _READS,
    ("PATCH", "/clusters/{cluster}"): _WRITES,
    ("GET", "/clusters/{cluster}/similar"): _READS,
    ("GET", "/clusters/{cluster}/lineage"): _READS,
    ("POST", "/clusters/{cluster}:split"): _WRITES,
    ("POST", "/clusters/{cluster}:pin"): _WRITES,
    ("POST", "/clusters/{cluster}:dissolve"): _WRITES,
    ("GET", "/themes"): _READS,
    ("GET", "/places"): _READS,
    ("GET", "/moments"): _READS,
    ("GET", "/corrections"): _READS,
    ("POST", "/corrections/{correction}:undo"): _WRITES,
    ("GET", "/runs"): _READS,
    ("POST", "/runs"): _WRITES,
    ("GET", "/runs:compare"): _READS,
    ("GET", "/runs/{run}"): _READS,
    ("GET", "/runs/{run}/events"): _STREAMS,
    ("GET", "/runs/{run}/clusters"): _READS,
    ("GET", "/runs/{run}/map"): _READS,
    ("POST", "/runs/{run}:cancel"): _WRITES,
    ("POST", "/runs/{run}:activate"): _WRITES,
    ("GET", "/duplicates"): _READS,
    ("GET", "/export"): _STREAMS,
    ("POST", "/export"): Rule(Role.READ, Body.JSON, streams=True),
}

#: By method and path, as a route has them.
RULES: Mapping[tuple[str, str], Rule] = MappingProxyType(
    {
        # The page and what it is made of hold nothing of anybody's.
        ("GET", "/"): _OPEN,
        ("GET", "/explorer/{path}"): _OPEN,
        # It tells what anybody may read in the source.
        ("GET", "/api/openapi.json"): _READS,
        ("GET", f"{PREFIX}/status"): Rule(Role.READ, own=True),
        ("GET", f"{PREFIX}/collections"): Rule(Role.READ, own=True),
        ("POST", f"{PREFIX}/collections"): Rule(Role.WRITE, Body.JSON, names=True),
        **{(method, f"{_COLLECTION}{path}"): rule for (method, path), rule in _IN_COLLECTION.items()},
    }
)
