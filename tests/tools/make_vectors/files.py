"""Which files there are, and how they are written."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.tools.make_vectors import (
    airlink,
    cloudlink,
    codes,
    cookies,
    failures,
    formats,
    frames,
    handshakes,
    links,
    maps,
    traffic,
)
from tests.tools.make_vectors.base import Json, write

FOLDER: Final = Path(__file__).parents[3] / "specs" / "vectors"
FILES: Final[dict[str, tuple[str, Callable[[], list[Json]]]]] = {
    "key-id": ("key ids, fingerprints and mac1 keys of static keys", cookies.key_ids),
    "linking-code": ("linking codes and every way of typing them", codes.vectors),
    "linking-code-failure": ("typed texts that are refused", codes.failures),
    "format": ("bytes and fields of every declaration of envelopes and inner frames", formats.vectors),
    "format-failure": ("bytes that are no frame of their format", formats.failures),
    "handshake": (
        "pairing, session and rekey of every suite, from the keys to the first protected packets",
        handshakes.vectors,
    ),
    "handshake-failure": ("handshake packets that are refused", failures.vectors),
    "cookie": ("cookie replies, and the initiations that carry the cookie", cookies.vectors),
    "cookie-failure": ("cookie replies that are ignored, and initiations without the right cookie", cookies.failures),
    "refusal": ("refusals: hints for the user", cookies.refusals),
    "refusal-failure": ("refusals that are ignored", cookies.refusal_failures),
    "datagram": ("data datagrams of the sessions of kind handshake", traffic.datagrams),
    "datagram-failure": ("data datagrams that are dropped", traffic.datagram_failures),
    "record": ("data records of the sessions and rekeys of kind handshake", traffic.records),
    "record-failure": ("records that end the link", traffic.record_failures),
    "frame-failure": ("inner frames that end the link although they are authentic", frames.failures),
    "airlink": ("airlink messages, bytes and fields", airlink.vectors),
    "airlink-failure": ("airlink messages that are refused", airlink.failures),
    "link-message": ("messages of the groundlink and of the links end to end, bytes and fields", links.vectors),
    "link-message-failure": ("messages that are refused on these links", links.failures),
    "cloudlink": ("bodies, records and relay batches of the cloudlink", cloudlink.vectors),
    "cloudlink-failure": ("what is refused on the cloudlink", cloudlink.failures),
    "map": ("maps in their one encoding", maps.vectors),
    "map-failure": ("bytes that are no map", maps.failures),
}


def make(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, (what, vectors) in FILES.items():
        write(folder, kind, what, vectors())
