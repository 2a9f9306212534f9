"""What the cloud says: taken in order, acknowledged once it is durable here (specs/9-cloudlink.md, 9.5)."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from nodes.https import StatusError
from nodes.uplink.backoff import Backoff
from nodes.uplink.client import CONFLICT, Arrived, CloudClient, CloudMessage, Downlink
from nodes.uplink.errors import CloudBusyError
from nodes.uplink.hop import CloudHop
from nodes.uplink.outbox import Outbox
from nodes.wakeup import Wakeup
from protocols.errors import LinkTimeoutError, PeerError, PolicyError, StorageError, TruncatedError
from specs.cloudlink import DownlinkMessage

_log: Final = logging.getLogger(__name__)

MessageHandler = Callable[[int, DownlinkMessage], Awaitable[None]]
"""Takes a message with its number, durably: when it returns the cloud may forget it.

It may get the same message again: after a crash, or when the cloud was restored. PeerError or PolicyError say that it
will never take this one, and it is passed over; StorageError that it cannot now, and it comes again.
"""


class DownlinkTaker:
    """Reads the downlink of one connection after the other."""

    def __init__(
        self,
        outbox: Outbox,
        handler: MessageHandler,
        backoff: Callable[[], Backoff],
        on_refused: Callable[[int, DownlinkMessage, str], None],
        silence_s: float,
    ) -> None:
        """``silence_s``: after so long without a record the cloud is taken for gone (CL-35)."""
        self._outbox = outbox
        self._handler = handler
        self._new_backoff = backoff
        self._on_refused = on_refused
        self._silence_s = silence_s
        self._taken = Wakeup()

    async def run(self, client: CloudClient, hop: CloudHop, on_open: Callable[[], None]) -> None:
        """Take what comes until the connection breaks: then the client's error passes through.

        ``on_open`` is told when the cloud hears us: relay messages of a device without a downlink are lost (CL-41).
        """
        backoff = self._new_backoff()
        while True:
            try:
                async with client.downlink(self._outbox.state.downlink_taken) as downlink:
                    on_open()
                    await self._take(downlink, hop, backoff)
            except (CloudBusyError, StorageError) as error:
                _log.info("the downlink begins again: %s", error)
            except (TruncatedError, LinkTimeoutError) as error:
                _log.info("the downlink broke off: %s", error)
                await client.health()  # or is it the whole connection?
            except StatusError as error:
                if error.status != CONFLICT:
                    raise
                _log.warning("the cloud does not know its own messages any more: it is asked from the first")
                await self._outbox.forget_downlink()
            await trio.sleep(backoff.next_s())

    async def _take(self, downlink: Downlink, hop: CloudHop, backoff: Backoff) -> None:
        while True:
            item: Arrived = None
            with trio.move_on_after(self._silence_s) as silence:
                item = await downlink.next()
            if silence.cancelled_caught:
                raise LinkTimeoutError(f"the cloud has said nothing for {self._silence_s:.0f} s")
            backoff.reset()
            if isinstance(item, CloudMessage):
                await self._take_message(item.sequence, item.message)
            elif item is not None:
                hop.deliver(item)

    async def _take_message(self, sequence: int, message: DownlinkMessage) -> None:
        if sequence <= self._outbox.state.downlink_taken:
            return
        try:
            await self._handler(sequence, message)
        except (PeerError, PolicyError) as error:
            self._on_refused(sequence, message, str(error))
        await self._outbox.take_downlink(sequence)
        self._taken.set()

    async def acknowledge(self, client: CloudClient) -> None:
        """Tell the cloud what was taken, until the connection breaks; many at once where they come fast."""
        backoff = self._new_backoff()
        told = 0
        while True:
            taken = self._outbox.state.downlink_taken
            if taken in {0, told}:
                await self._taken.wait()
                continue
            try:
                await client.acknowledge_downlink(taken)  # a number it does not know is the reader's matter (CL-33)
            except CloudBusyError as error:
                _log.info("acknowledging waits: %s", error)
                await trio.sleep(backoff.next_s())
            else:
                told = taken
                backoff.reset()
