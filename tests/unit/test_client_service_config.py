"""The retry policy speaks of every method that there is, and of no other."""

from __future__ import annotations

import json
from collections import Counter

from google.protobuf.descriptor import FileDescriptor

from shoal.v1 import (
    backup_service_pb2,
    change_service_pb2,
    cluster_service_pb2,
    collection_service_pb2,
    curation_service_pb2,
    duplicate_service_pb2,
    image_service_pb2,
    status_service_pb2,
)
from shoal_client.service_config import IDEMPOTENT, NEVER_REPEATED, SAFE_TO_REPEAT, service_config


def test_every_method_is_in_exactly_one_list() -> None:
    files: tuple[FileDescriptor, ...] = (
        collection_service_pb2.DESCRIPTOR,
        image_service_pb2.DESCRIPTOR,
        cluster_service_pb2.DESCRIPTOR,
        curation_service_pb2.DESCRIPTOR,
        duplicate_service_pb2.DESCRIPTOR,
        change_service_pb2.DESCRIPTOR,
        backup_service_pb2.DESCRIPTOR,
        status_service_pb2.DESCRIPTOR,
    )
    methods = Counter(
        (service.full_name, method.name)
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    )
    listed = Counter(
        (service, name)
        for table in (SAFE_TO_REPEAT, IDEMPOTENT, NEVER_REPEATED)
        for service, names in table.items()
        for name in names
    )
    assert listed == methods


def test_the_config_is_one_that_grpc_takes() -> None:
    """gRPC takes at most five attempts and ignores a config that it does not understand."""
    for config in json.loads(service_config())["methodConfig"]:
        policy = config["retryPolicy"]
        assert 2 <= policy["maxAttempts"] <= 5
        assert all(policy[name].endswith("s") for name in ("initialBackoff", "maxBackoff"))
        assert "UNAVAILABLE" in policy["retryableStatusCodes"]
        assert all(name.keys() == {"service", "method"} for name in config["name"])
