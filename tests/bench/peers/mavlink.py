"""pymavlink's signing: a frame is made and signed, parsed and checked; no sockets."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from tests.bench.harness.model import Side
from tests.bench.harness.payload import messages
from tests.bench.harness.repeat import repeat

NAME: Final = "pymavlink, signed ENCAPSULATED_DATA, without sockets"
DATA_BYTES: Final = 253
"""Of ENCAPSULATED_DATA: the largest payload that MAVLink has."""


def _prepare() -> Callable[[], object]:
    dialect: Any = import_module("pymavlink.dialects.v20.common")

    def end(system: int) -> Any:
        made = dialect.MAVLink(None, srcSystem=system, srcComponent=1)
        made.signing.secret_key = bytes(range(32))
        made.signing.link_id = system
        made.signing.timestamp = 1
        made.signing.sign_outgoing = True
        return made

    giving, taking = end(1), end(2)
    rows = [dialect.MAVLink_encapsulated_data_message(1, data) for data in messages(DATA_BYTES, 16)]

    def step() -> object:
        for message in rows:
            (parsed,) = taking.parse_buffer(message.pack(giving))
            if not parsed.get_signed():
                raise RuntimeError("the frame was not signed")
        return None

    return step


def signed_flow() -> Side:
    """Messages per second."""
    return repeat(_prepare, batch=2, each=16)
