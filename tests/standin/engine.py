"""Collections and points: qdrant-client's local mode, made durable by a log of operations."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import grpc
from qdrant_client import models
from qdrant_client.local.qdrant_local import QdrantLocal

from tests.standin.collection_settings import applied, told
from tests.standin.operation_log import OperationLog
from tests.standin.refusals import Refused, as_a_server

#: Writes that are handed to the local mode as they are.
_POINT_WRITES = frozenset(
    {
        "upsert",
        "update_vectors",
        "delete_vectors",
        "delete",
        "set_payload",
        "overwrite_payload",
        "delete_payload",
        "clear_payload",
        "batch_update_points",
    }
)
_READS = frozenset({"retrieve", "scroll", "count", "facet", "query_points"})

#: Kinds of index by which a server counts values, and by which it orders.
_FACET = {"keyword", "integer", "uuid", "bool"}
_ORDER = {"integer", "float", "datetime", "uuid"}


class Engine:
    """What is stored, for one call at a time."""

    def __init__(self, folder: Path | None) -> None:
        """Args:
        folder: where the log is; what it says is done again. None forgets everything at the end.
        """
        self._lock = threading.Lock()
        self._local = QdrantLocal(":memory:")
        self._settings: dict[str, models.CreateCollection] = {}
        self._indexes: dict[str, dict[str, models.PayloadIndexInfo]] = {}
        self._log = None if folder is None else OperationLog(folder)
        if self._log is not None:
            for operation, collection, arguments in self._log.replay():
                # What was refused then is refused again.
                try:
                    self._apply(operation, collection, arguments)
                except Refused:
                    continue

    def write(self, operation: str, collection: str, **arguments: Any) -> Any:
        """Does and remembers a change.

        Args:
            operation: the name of the local mode's method.
            collection: which; empty for aliases.
            arguments: of that method, as models of REST.

        Raises:
            Refused: as a server would.
        """
        with self._lock:
            if self._log is not None:
                self._log.append((operation, collection, arguments))
            return self._apply(operation, collection, arguments)

    def read(self, operation: str, collection: str, **arguments: Any) -> Any:
        """Answers a question; arguments and errors as in :meth:`write`."""
        with self._lock, as_a_server():
            if operation == "facet":
                self._need_index(collection, arguments["key"], _FACET, "No appropriate index for faceting")
            if (order := arguments.get("order_by")) is not None:
                key = order if isinstance(order, str) else order.key
                self._need_index(collection, key, _ORDER, "No range index for `order_by` key")
            if operation not in _READS:
                raise NotImplementedError(operation)
            return getattr(self._local, operation)(collection, **arguments)

    def names(self) -> list[str]:
        """Of all collections."""
        with self._lock:
            return [each.name for each in self._local.get_collections().collections]

    def exists(self, collection: str) -> bool:
        """Whether there is one of that name or alias."""
        with self._lock:
            return self._local.collection_exists(collection)

    def aliases(self, collection: str | None) -> list[models.AliasDescription]:
        """Of a collection, or all."""
        with self._lock:
            found = self._local.get_aliases().aliases
        return [each for each in found if collection in (None, each.collection_name)]

    def info(self, collection: str) -> models.CollectionInfo:
        """What a server tells of a collection: how it was made, with the server's defaults, and its indexes.

        Raises:
            Refused: there is none.
        """
        with self._lock, as_a_server():
            local = self._local.get_collection(collection)
            name = self._resolved(collection)
            return local.model_copy(
                update={
                    "config": told(self._settings[name], local.config),
                    "payload_schema": deepcopy(self._indexes[name]),
                }
            )

    def close(self) -> None:
        """Lets go of the log."""
        if self._log is not None:
            self._log.close()

    def _apply(self, operation: str, collection: str, arguments: dict[str, Any]) -> Any:
        special: dict[str, Callable[..., Any]] = {
            "create_collection": self._create_collection,
            "update_collection": self._update_collection,
            "delete_collection": self._delete_collection,
            "create_payload_index": self._create_payload_index,
            "delete_payload_index": self._delete_payload_index,
        }
        with as_a_server():
            if operation == "update_collection_aliases":
                return self._local.update_collection_aliases(**arguments)
            if operation in special:
                return special[operation](collection, **arguments)
            if operation not in _POINT_WRITES:
                raise NotImplementedError(operation)
            self._local.get_collection(collection)
            for name in ("points", "points_selector"):
                if (ids := _ids_only(arguments.get(name))) is not None:
                    found = self._local.retrieve(collection, ids, with_payload=False)
                    if not found:
                        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)
                    arguments = arguments | {name: models.PointIdsList(points=[each.id for each in found])}
            return getattr(self._local, operation)(collection, **arguments)

    def _create_collection(self, name: str, settings: models.CreateCollection) -> bool:
        made = self._local.create_collection(
            name, settings.vectors, sparse_vectors_config=settings.sparse_vectors, metadata=settings.metadata
        )
        self._settings[name] = settings
        self._indexes[name] = {}
        return made

    def _update_collection(self, collection: str, changes: models.UpdateCollection) -> bool:
        self._local.update_collection(
            collection,
            sparse_vectors_config=changes.sparse_vectors,
            metadata=changes.metadata,
            vectors_config=changes.vectors,
        )
        name = self._resolved(collection)
        self._settings[name] = applied(self._settings[name], changes)
        return True

    def _delete_collection(self, name: str) -> bool:
        self._settings.pop(name, None)
        self._indexes.pop(name, None)
        return self._local.delete_collection(name)

    def _create_payload_index(
        self, collection: str, field: str, schema: models.PayloadSchemaType | models.PayloadSchemaParams
    ) -> models.UpdateResult:
        # Not the local mode's own: it has no use for them, and warns.
        self._local.get_collection(collection)
        params = None if isinstance(schema, models.PayloadSchemaType) else schema
        kind = models.PayloadSchemaType(schema.value if isinstance(schema, models.PayloadSchemaType) else schema.type)
        count = self._local.count(collection).count
        self._indexes[self._resolved(collection)][field] = models.PayloadIndexInfo(
            data_type=kind, params=params, points=count
        )
        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)

    def _delete_payload_index(self, collection: str, field: str) -> models.UpdateResult:
        self._local.get_collection(collection)
        self._indexes[self._resolved(collection)].pop(field, None)
        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)

    def _need_index(self, collection: str, field: str, kinds: set[str], problem: str) -> None:
        self._local.get_collection(collection)
        index = self._indexes[self._resolved(collection)].get(field)
        if index is None or index.data_type.value not in kinds:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT, f"Bad request: {problem}: `{field}`. Please create one to use it."
            )

    def _resolved(self, collection: str) -> str:
        return self._local.aliases.get(collection, collection)


def _ids_only(selector: Any) -> list[models.ExtendedPointId] | None:
    """The ids of a filter that asks for nothing else: the local mode looks for each in turn, which takes seconds."""
    match selector:
        case models.FilterSelector(
            filter=models.Filter(must=[models.HasIdCondition(has_id=ids)], should=None, must_not=None, min_should=None)
        ):
            return list(ids)
    return None
