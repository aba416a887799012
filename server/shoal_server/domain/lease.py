"""Rights that one of several servers on one store has at a time, and the servers themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Purpose(Enum):
    """What a lease on a collection is for."""

    #: To cluster it; for as long as a run takes.
    RUNNING = "running"
    #: To say which image belongs to which cluster, and to write that back; for as short as possible.
    DECIDING = "deciding"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who has a right, as it stands in the store.

    Attributes:
        holder: id of the server; empty: nobody.
        epoch: grows with every change of hands, so that a former holder can be told from the present one.
        beat: grows with every sign of life of the holder. A lease whose beat stands still for long is anybody's.
        run: the run that a lease to run is about.
        stage: how far that run is.
        progress: the same as a share, 0 to 1.
        asked_to_cancel: the run that somebody asked the holder to cancel.
    """

    holder: str = ""
    epoch: int = 0
    beat: int = 0
    run: str = ""
    stage: str = ""
    progress: float = 0.0
    asked_to_cancel: str = ""


@dataclass(frozen=True, slots=True)
class Fence:
    """What must hold for a write to be taken: that a server still has a right.

    Attributes:
        purpose: of the lease.
        holder: the server.
        epoch: of the lease when it got it.
    """

    purpose: Purpose
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Member:
    """A server as it shows itself to the others.

    Attributes:
        id: stays over restarts as long as its data folder does.
        round: grows each time it has looked at all that the others changed.
        beat: grows while it is alive, also while a look takes long.
    """

    id: str
    round: int
    beat: int = 0
