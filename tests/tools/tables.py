"""Tables of the pages in specs/ that follow from the code: the lengths of handshake messages."""

from collections.abc import Callable

from protocols.crypto.suites import SUITES
from protocols.link.handshake import COOKIE_REPLY_BYTES, REFUSED_BYTES, lengths
from specs.registry import HandshakeKind


def handshake_lengths() -> str:
    """Bytes of each datagram, and of the records without MACs."""
    lines = [
        "| suite | kind | payload of message 1 | initiation | response | finish | on TCP, without record header |",
        "|---|---|---|---|---|---|---|",
    ]
    for suite in SUITES.values():
        for kind in HandshakeKind:
            row = lengths(suite, kind)
            tcp = [row.initiation - 32, row.response - 16, row.finish - 16 if row.finish else 0]
            finish = str(row.finish) if row.finish else "-"
            bare = " / ".join(str(length) for length in tcp if length)
            lines.append(
                f"| {suite.id} | {kind.name} | {row.payload} | {row.initiation} | {row.response} | {finish} | {bare} |"
            )
    lines.append("")
    lines.append(f"A cookie reply has {COOKIE_REPLY_BYTES} bytes, a refusal {REFUSED_BYTES}.")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"handshake-lengths": handshake_lengths}
"""Name in ``<!-- table: NAME -->`` -> what is written there."""
