"""Agreements between two static keys, which are the same in every handshake of a pair (docs/adr/0006).

What stands here is a long-term secret of the pair. So it lives in memory only, as long as its node and not longer
than its peer is trusted; there are bounds; it shows itself nowhere; and only peers that the directory knows get in,
so no stranger can push one of them out.
"""

from collections import OrderedDict
from typing import Final

MAX_AGREEMENTS: Final = 1_024
"""Implementation limit: pairs that are remembered; beyond it the one goes whose last handshake is longest ago."""


class StaticAgreements:
    """One node's agreements, by own and peer's public key, for all of its machines.

    ``find`` is safe in the threads that jobs run in; the rest belongs to the loop.
    """

    __slots__ = ("_drops", "_found", "_limit")

    def __init__(self, limit: int = MAX_AGREEMENTS) -> None:
        self._found: OrderedDict[tuple[bytes, bytes], tuple[bytes, bytes]] = OrderedDict()
        self._limit = limit
        self._drops = 0

    def __len__(self) -> int:
        return len(self._found)

    @property
    def mark(self) -> int:
        """Says, given to a later :meth:`keep`, when the work behind its secret began."""
        return self._drops

    def find(self, own: bytes, peer: bytes) -> bytes | None:
        """Return the secret of two public keys, if it is known."""
        entry = self._found.get((own, peer))
        return entry and entry[0]

    def keep(self, own: bytes, peer: bytes, secret: bytes, *, key_id: bytes, mark: int) -> None:
        """Remember the secret of an accepted peer; not if any peer was dropped since ``mark``: it may be this one."""
        if mark != self._drops:
            return
        self._found[own, peer] = (secret, key_id)
        self._found.move_to_end((own, peer))
        if len(self._found) > self._limit:
            self._found.popitem(last=False)

    def drop(self, key_id: bytes) -> None:
        """Forget a peer: it is revoked, forgotten or paired anew (LK-45, PR-37)."""
        self._drops += 1
        for pair in [pair for pair, entry in self._found.items() if entry[1] == key_id]:
            del self._found[pair]

    def close(self) -> None:
        """Forget everybody, and remember nobody any more: the node has ended."""
        self._limit = 0
        self._found.clear()

    def __repr__(self) -> str:
        return f"<StaticAgreements of {len(self)} pairs>"
