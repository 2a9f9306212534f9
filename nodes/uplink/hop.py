"""The connection with the cloud as a hop of a relay (port RelayHop; specs/9-cloudlink.md, 9.6).

A hop lives as long as one connection. What it takes leaves in batches: one is on its way, what comes up meanwhile is
the next. Nothing of it is durable; where the cloud is too slow the oldest is lost (CL-41).
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from nodes.uplink.client import CloudClient
from nodes.uplink.errors import CloudBusyError, CloudRefusedError
from nodes.wakeup import Wakeup
from protocols.errors import ConfigError, LocalError
from protocols.events import RelayMessage
from specs.cloudlink import MAX_RELAY_FRAMES
from specs.registry import Role

MAX_WAITING: Final = 2 * MAX_RELAY_FRAMES
"""Messages that wait at most: what is older than two batches is of no use to a link."""


class CloudHop:
    """The cloud as a neighbour. ``run`` is a task of the connection; when it ends the hop is down for good."""

    def __init__(self, key_id: bytes) -> None:
        self.on_message: Callable[[RelayMessage], None] | None = None
        self.lost = 0
        """Messages that found no room, or whose batch the cloud did not take."""
        self._key_id = key_id
        self._is_up = True
        self._waiting: deque[RelayMessage] = deque()
        self._wakeup = Wakeup()

    @property
    def key_id(self) -> bytes:
        """Which cloud, 16 bytes."""
        return self._key_id

    @property
    def role(self) -> Role:
        """What it is."""
        return Role.CLOUD

    @property
    def is_up(self) -> bool:
        """Whether the connection lives."""
        return self._is_up

    def send(self, message: RelayMessage) -> None:
        """Hand a message over without waiting."""
        if not self._is_up:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(message)
        self._wakeup.set()

    def deliver(self, messages: Sequence[RelayMessage]) -> None:
        """Give what the cloud has sent to whoever listens."""
        for message in messages:
            if self.on_message is not None and self._is_up:
                self.on_message(message)

    def close(self) -> None:
        """The connection has gone."""
        self._is_up = False
        self._waiting.clear()

    async def run(self, client: CloudClient) -> None:
        """Send what waits, in order, until the connection breaks: then the client's error passes through."""
        while True:
            await self._wakeup.wait()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_RELAY_FRAMES))]
                try:
                    await client.relay(batch)
                except (CloudBusyError, CloudRefusedError, LocalError) as error:
                    if isinstance(error, ConfigError):  # nobody there
                        raise
                    self.lost += len(batch)  # as on any unreliable path
