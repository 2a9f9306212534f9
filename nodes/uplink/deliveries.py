"""Telemetry and alarms on their way: the oldest first, one at a time, each until the cloud has it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from nodes.uplink.backoff import Backoff
from nodes.uplink.errors import CloudBusyError, CloudRefusedError
from nodes.uplink.outbox import Outbox, Parcel, ParcelKind
from nodes.wakeup import Wakeup
from protocols.errors import ProtocolViolationError, StorageError
from specs.cloudlink import Accepted

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 8
"""Parcels that are read, and forgotten, in one go; after a crash they are sent again, and the cloud says `repeated`."""


class Delivery:
    """Sends one kind of parcels."""

    def __init__(
        self,
        outbox: Outbox,
        kind: ParcelKind,
        backoff: Callable[[], Backoff],
        on_refused: Callable[[Parcel, str], None],
    ) -> None:
        """``on_refused`` is told of a parcel that the cloud will not take, and why; it is not kept."""
        self.accepted_items = 0
        """Messages that the cloud has, since the start; those it had already are not counted again."""
        self.news: Final = Wakeup()
        """Set it when the outbox has a new parcel."""
        self._outbox = outbox
        self._kind = kind
        self._new_backoff = backoff
        self._on_refused = on_refused

    async def run(self, post: Callable[[bytes], Awaitable[Accepted]]) -> None:
        """Send parcels until the connection breaks: then the client's error passes through."""
        backoff = self._new_backoff()
        while True:
            try:
                parcels = await self._outbox.pending(self._kind, _AT_ONCE)
                for parcel in parcels:
                    await self._send(post, parcel)
                    backoff.reset()
                if parcels:
                    await self._outbox.acknowledge(self._kind, parcels[-1].sequence)
                    continue
            except (CloudBusyError, StorageError) as error:
                _log.info("%s waits: %s", self._kind.name.lower(), error)
                await trio.sleep(backoff.next_s())
                continue
            await self.news.wait()

    async def _send(self, post: Callable[[bytes], Awaitable[Accepted]], parcel: Parcel) -> None:
        try:
            accepted = await post(parcel.body)
        except CloudRefusedError as error:  # the same bytes would be refused for ever, and hold up all that follow
            await self._outbox.acknowledge(self._kind, parcel.sequence)  # and those before, which are accepted
            self._on_refused(parcel, str(error))
            return
        if accepted.sequence != parcel.sequence:
            raise ProtocolViolationError("the cloud has accepted another batch than the one it was given")
        if not accepted.repeated:
            self.accepted_items += parcel.items
