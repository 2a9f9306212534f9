"""A signal that is remembered until somebody waits for it: what the pump's tasks tell each other."""

import trio


class Wakeup:
    """``set`` any number of times; one ``wait`` takes them all."""

    __slots__ = ("_lot", "_set")

    def __init__(self) -> None:
        self._set = False
        self._lot = trio.lowlevel.ParkingLot()

    def set(self) -> None:
        """Wake who waits, or let the next wait pass at once."""
        self._set = True
        self._lot.unpark_all()

    async def wait(self) -> None:
        """Wait for the next ``set``; always a checkpoint."""
        if self._set:
            await trio.lowlevel.checkpoint()
        while not self._set:
            await self._lot.park()
        self._set = False
