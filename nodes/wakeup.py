"""A signal that is remembered until somebody waits for it: what the pump's tasks tell each other."""

from collections.abc import Callable

import trio


class Wakeup:
    """``set`` any number of times; one ``wait`` takes them all."""

    __slots__ = ("_lot", "is_set", "on_set")

    def __init__(self) -> None:
        self.is_set = False
        """Whether the next ``wait`` passes at once; whoever looked for himself may clear it."""
        self.on_set: Callable[[], None] | None = None
        """Called by ``set``: for who waits for something else as well."""
        self._lot: trio.lowlevel.ParkingLot | None = None

    def set(self) -> None:
        """Wake who waits, or let the next wait pass at once."""
        self.is_set = True
        if self.on_set is not None:
            self.on_set()
        if self._lot:
            self._lot.unpark_all()

    async def wait(self) -> None:
        """Wait for the next ``set``; always a checkpoint."""
        if self.is_set:
            await trio.lowlevel.checkpoint()
        while not self.is_set:
            if self._lot is None:  # most are never waited for: a thousand links have two thousand
                self._lot = trio.lowlevel.ParkingLot()
            await self._lot.park()
        self.is_set = False
