"""What each RPC needs: a role, and credentials for the collections that it is about.

A method that is not in the table is refused to everybody. Names inside a request (of images, clusters, themes) need no
check of their own: a handler refuses those that are not of the collection in the fields below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from shoal_server.application.access import check_collections, check_everywhere
from shoal_server.domain.access import Caller, Role
from shoal_server.domain.errors import InvalidName

#: Collections of one call that are kept for the record.
MAX_NOTED = 10
#: Characters of a collection's id.
MAX_ID = 63

_COLLECTION = re.compile(rf"collections/([^/]{{1,{MAX_ID}}})(?:/[^\n]*)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call needs.

    Attributes:
        role: the least; None: nothing, it is open to everybody.
        names: fields of the request that hold the name of a collection, or of something in one.
        ids: fields that hold a collection's id, Shoal's or Qdrant's.
        everywhere: credentials for all collections.
        own: the answer is about the caller's own collections, and it is the handler that leaves out all others.
        parts: only the first message of a stream has to name the collection; in others the fields may be empty.
    """

    role: Role | None
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    everywhere: bool = False
    own: bool = False
    parts: bool = False

    @property
    def recorded(self) -> bool:
        """Whether the call is put on record: it changes something, or takes everything."""
        return self.role in (Role.WRITE, Role.ADMIN)


def _named(role: Role, *names: str) -> Rule:
    return Rule(role, names=names)


_READS_PARENT, _WRITES_PARENT = _named(Role.READ, "parent"), _named(Role.WRITE, "parent")
_READS_NAME, _WRITES_NAME = _named(Role.READ, "name"), _named(Role.WRITE, "name")
_OPEN = Rule(None)

_BY_SERVICE: Mapping[str, Mapping[str, Rule]] = {
    "shoal.v1.CollectionService": {
        "CreateCollection": Rule(Role.WRITE, ids=("collection_id",)),
        "GetCollection": _READS_NAME,
        "ListCollections": Rule(Role.READ, own=True),
        "UpdateCollection": _named(Role.WRITE, "collection.name"),
        "DeleteCollection": _named(Role.ADMIN, "name"),
        # It reaches for any collection of the Qdrant server, under whatever name the new one gets.
        "AttachCollection": Rule(Role.ADMIN, ids=("collection_id", "attachment.source"), everywhere=True),
        "DetachCollection": _named(Role.ADMIN, "name"),
    },
    "shoal.v1.ImageService": {
        "CreateImage": _WRITES_PARENT,
        "IngestImages": Rule(Role.WRITE, names=("parent",), parts=True),
        "CheckImages": _READS_PARENT,
        "GetImage": _READS_NAME,
        "ListImages": _READS_PARENT,
        "UpdateImage": _named(Role.WRITE, "image.name"),
        "DeleteImage": _WRITES_NAME,
        "SearchImages": _READS_PARENT,
        "RecommendImages": _READS_PARENT,
        "FacetImages": _READS_PARENT,
        "GetThumbnail": _READS_NAME,
        "DownloadImage": _READS_NAME,
    },
    "shoal.v1.DuplicateService": {"ListDuplicateGroups": _READS_PARENT},
    "shoal.v1.ClusterService": {
        "GetCluster": _READS_NAME,
        "ListClusters": _READS_PARENT,
        "UpdateCluster": _named(Role.WRITE, "cluster.name"),
        "SearchClusters": _READS_PARENT,
        "AssignImage": _READS_PARENT,
        "RunClustering": _WRITES_PARENT,
        "GetClusteringRun": _READS_NAME,
        "ListClusteringRuns": _READS_PARENT,
        "CancelClusteringRun": _WRITES_NAME,
        "ActivateClusteringRun": _WRITES_NAME,
        "CompareClusteringRuns": _named(Role.READ, "base", "other"),
        "ExportAssignments": _READS_NAME,
        "ListPlaces": _READS_PARENT,
        "ListMoments": _READS_PARENT,
        "StreamClusteringRun": _READS_NAME,
    },
    "shoal.v1.CurationService": {
        "MergeClusters": _WRITES_PARENT,
        "SplitCluster": _WRITES_NAME,
        "PinCluster": _WRITES_NAME,
        "MoveImages": _WRITES_PARENT,
        "DissolveCluster": _WRITES_NAME,
        "ReassignNoise": _WRITES_PARENT,
        "ListCorrections": _READS_PARENT,
        "UndoCorrection": _WRITES_NAME,
    },
    "shoal.v1.ChangeService": {"WatchAssignments": _READS_PARENT},
    "shoal.v1.BackupService": {"Backup": Rule(Role.ADMIN, everywhere=True)},
    "shoal.v1.StatusService": {"GetServerStatus": Rule(Role.READ, own=True)},
    # Whatever watches over the server has no key, and learns nothing but that it serves.
    "grpc.health.v1.Health": {"Check": _OPEN, "Watch": _OPEN, "List": _OPEN},
    # It tells what anybody may read in the source.
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": Rule(Role.READ)},
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": Rule(Role.READ)},
}

#: By full name, as a call has it.
RULES: Mapping[str, Rule] = MappingProxyType(
    {f"/{service}/{method}": rule for service, rules in _BY_SERVICE.items() for method, rule in rules.items()}
)


def collections_of(rule: Rule, request: Any) -> tuple[str, ...]:
    """The collections that a request names, as far as its fields have the form of a name; the beginning of a long id.

    Args:
        rule: the method's.
        request: its message.
    """
    matches = (_COLLECTION.fullmatch(attrgetter(field)(request)) for field in rule.names)
    found = (
        *(match[1] for match in matches if match is not None),
        *(attrgetter(field)(request)[:MAX_ID] for field in rule.ids),
    )
    return tuple(dict.fromkeys(filter(None, found)))


def check_request(rule: Rule, caller: Caller, request: Any, what: str, *, first: bool = True) -> None:
    """Refuses a request about what is not the caller's.

    Args:
        rule: the method's.
        caller: who calls; their role was looked at before.
        request: a message of the call.
        what: the method, for the message.
        first: it is the first message.

    Raises:
        InvalidName: the caller is bound to some collections, and a name does not have the form of one.
        NotPermitted: it is about another collection.
    """
    if caller.collections is None:
        return
    if rule.everywhere:
        check_everywhere(caller, what)
    for field in rule.names:
        name = attrgetter(field)(request)
        if not name and rule.parts and not first:
            continue
        match = _COLLECTION.fullmatch(name)
        if match is None:
            # The handler never sees it: it might read a name differently from the way it is read here.
            raise InvalidName(name, "collections/{collection}, with or without more")
        check_collections(caller, (match[1],), what)
    check_collections(caller, (attrgetter(field)(request) for field in rule.ids), what)
