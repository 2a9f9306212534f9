"""Messages that are sent: not all alike, so that no cache of one message flatters anybody. Standard library only."""

import random

MESSAGE_BYTES = 1_200
BURST = 256


def messages(size: int, count: int = BURST) -> list[bytes]:
    """Return so many messages of so many bytes, the same in every run."""
    dice = random.Random(size)
    whole = dice.randbytes(size + count)
    return [whole[start : start + size] for start in range(count)]
