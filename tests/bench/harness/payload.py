"""Messages that are sent: not all alike, so that no cache of one message flatters anybody. Standard library only."""

import random

MESSAGE_BYTES = 1_200
_BURST_MESSAGES = 256
_BURST_BYTES = 262_144


def burst_of(size: int) -> int:
    """Return how many messages of a size are handed over at once."""
    return max(4, min(_BURST_MESSAGES, _BURST_BYTES // size))


def messages(size: int, count: int | None = None) -> list[bytes]:
    """Return so many messages of so many bytes (else a burst), the same in every run."""
    count = burst_of(size) if count is None else count
    dice = random.Random(size)
    whole = dice.randbytes(size + count)
    return [whole[start : start + size] for start in range(count)]
