"""Following which image is in which cluster."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from shoal.v1 import change_service_pb2
from shoal_client import conversion
from shoal_client.areas.area import Area
from shoal_client.results import AssignmentChanges


class ChangesArea(Area):
    """What changes in a collection."""

    async def watch_assignments(
        self, token: str | None = None, *, until_now: bool = False
    ) -> AsyncGenerator[AssignmentChanges, None]:
        """Without a token every assignment once, then each change as it comes; with one, what changed since.

        Nothing is left out, an image may be told more than once, and the latest is what holds. Keep the token of an
        answer together with what you made of the answer, in one transaction if you can, and go on from there after
        anything that ends the stream; it does not go on by itself::

            while True:
                token = load_token()
                if token is None:
                    forget_everything()  # what was removed before is not told
                try:
                    async for changes in collection.watch_assignments(token):
                        take_in(changes.assignments)
                        if changes.token is not None:
                            keep_token(changes.token)
                except Unavailable:
                    await asyncio.sleep(5)
                except FailedPrecondition as error:
                    if error.reason != "CHANGES_EXPIRED":
                        raise
                    forget_token()

        Args:
            token: of an earlier answer; None: from the beginning.
            until_now: end when everything until now was told.

        Raises:
            FailedPrecondition: with the reason ``CHANGES_EXPIRED``: what changed since the token is not kept any more,
                or the collection was deleted and made again.
            InvalidArgument: the token is none.
            NotFound: there is no such collection, or it was deleted.
        """
        request = change_service_pb2.WatchAssignmentsRequest(
            parent=self._parent, token=token or "", until_now=until_now
        )
        responses = self._transport.stream(self._transport.changes.WatchAssignments, request)
        async with aclosing(responses):
            async for response in responses:
                yield conversion.assignment_changes(response)
