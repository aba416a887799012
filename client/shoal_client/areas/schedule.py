"""When a collection is clustered again by itself."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask

from shoal.v1 import collection_pb2, collection_service_pb2
from shoal_client import conversion
from shoal_client.areas.area import Area
from shoal_client.results import Schedule, ScheduleStatus


class ScheduleArea(Area):
    """The schedule of a collection."""

    async def get_schedule(self) -> ScheduleStatus:
        """The schedule, and what it is about to do."""
        request = collection_service_pb2.GetCollectionRequest(name=self._parent)
        answer = await self._transport.call(self._transport.collections.GetCollection, request)
        return conversion.collection(answer).schedule

    async def set_schedule(self, schedule: Schedule | None) -> ScheduleStatus:
        """Says when the collection is clustered again by itself.

        Args:
            schedule: all of it; None gives it back to the server's settings.

        Raises:
            InvalidArgument: a part of it is out of its range, or there is no such time zone.
        """
        changed = collection_pb2.Collection(name=self._parent)
        if schedule is not None:
            changed.schedule.CopyFrom(conversion.schedule_message(schedule))
        request = collection_service_pb2.UpdateCollectionRequest(
            collection=changed, update_mask=FieldMask(paths=["schedule"])
        )
        answer = await self._transport.call(self._transport.collections.UpdateCollection, request)
        return conversion.collection(answer).schedule
