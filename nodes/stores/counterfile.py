"""The node's own initiation counters as a file: ``counters.json``, one line of life per DH function.

A counter is written before it is used, so a crash skips counters and never repeats one. A lost file cannot be
guessed: whoever began again at 1 would be refused by every peer, so pairing again is asked for at once. A
file that was restored from a backup is *not* noticed here; the peers refuse its counters, which is safe.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from nodes.stores.directory import PrivateDirectory
from nodes.stores.document import Document, hex_bytes, whole
from nodes.stores.rules import EPOCH_BYTES, MAX_COUNTER, check_count
from nodes.stores.serial import Serial
from protocols.crypto.dh import DH_FUNCTIONS
from protocols.errors import CounterLostError, KeyExhaustedError, UnsupportedError
from protocols.link.peers import CounterBlock

NAME: Final = "counters.json"


def _new_epoch() -> bytes:
    return secrets.token_bytes(EPOCH_BYTES)


@dataclass(frozen=True, slots=True)
class _Life:
    epoch: bytes
    """16 random bytes."""
    next: int
    """The lowest counter that was never reserved; 2**64 when all are used up."""


class CounterFile:
    """The file, for callers that may block. Not for two threads at a time."""

    def __init__(self, directory: PrivateDirectory, new_epoch: Callable[[], bytes] = _new_epoch) -> None:
        self._path = directory.path / NAME
        self._document = Document(directory, NAME, "remove it and pair the devices again")
        self._new_epoch = new_epoch

    def reserve(self, dh: str, count: int, *, create: bool = False) -> CounterBlock:
        """Reserve counters, durably; CounterLostError, KeyExhaustedError, StorageError. Nothing is cached."""
        if dh not in DH_FUNCTIONS:
            raise UnsupportedError(f"there are no {dh!r} keys, only {', '.join(DH_FUNCTIONS)}")
        check_count(count)
        lives = self._document.read(_decode) or {}
        if dh not in lives and not create:
            raise CounterLostError(f"{self._path} has no counter for the {dh} key: pair the devices again")
        life = lives.get(dh) or _Life(self._new_epoch(), 1)
        if life.next + count - 1 > MAX_COUNTER:
            raise KeyExhaustedError(f"the {dh} initiation counter is used up: make a new key and pair again")
        self._write(lives | {dh: replace(life, next=life.next + count)})
        return CounterBlock(first=life.next, count=count, epoch=life.epoch)

    def _write(self, lives: dict[str, _Life]) -> None:
        self._document.write({dh: {"epoch": life.epoch.hex(), "next": life.next} for dh, life in lives.items()})


class FileCounterStore:
    """Port CounterStore on the file of a state folder."""

    def __init__(self, file: CounterFile) -> None:
        self._file = file
        self._serial = Serial()

    async def reserve(self, dh: str, count: int, *, create: bool = False) -> CounterBlock:
        """Reserve ``count`` counters of the static key for ``dh``, durably, before any of them is used."""
        return await self._serial.run(partial(self._file.reserve, dh, count, create=create))


def _decode(content: dict[str, Any]) -> dict[str, _Life]:
    if not content.keys() <= DH_FUNCTIONS.keys():
        raise ValueError
    return {dh: _decode_life(**fields) for dh, fields in content.items()}


def _decode_life(*, epoch: object, next: object) -> _Life:  # noqa: A002 - the name in the file
    life = _Life(hex_bytes(epoch), whole(next))
    if len(life.epoch) != EPOCH_BYTES or not 1 <= life.next <= MAX_COUNTER + 1:
        raise ValueError
    return life
