"""Implementation limits of the channels: every queue and buffer is bounded (CH-4).

The peer cannot tell these numbers; a build may choose others. What the peer must share stands in the specification.
"""

from typing import Final

from specs.registry import MAX_STREAM_MESSAGE_BYTES

MESSAGE_OVERHEAD_BYTES: Final = 64
"""Counted for every queued message beside its bytes, so that a flood of empty ones is bounded too."""

MIN_FRAME_BYTES: Final = 512
"""Smallest ``max_frame_bytes``: the largest stream message still fits its 4,096 fragments."""

# --- command --------------------------------------------------------------------------------------

COMMAND_WINDOW_UNITS: Final = 64
"""CH-24: units in flight; the bitmap of an ACK covers as many."""
COMMAND_UNIT_FRAME_BYTES: Final = 1_168
"""Largest frame of a unit on a datagram carrier. A unit keeps its bytes for ever (its sequence names them), so it is
cut for the smallest path, and a path that shrinks later still carries it."""
COMMAND_QUEUE_BYTES: Final = 1_048_576
"""Sending: bytes of messages that the peer has not acknowledged."""
COMMAND_READ_BYTES: Final = 1_048_576
"""Receiving: delivered bytes that the user has not taken; beyond, units wait and are not acknowledged."""
MAX_OPEN_REQUESTS: Final = 4_096
"""Requests without an answer, each way (CH-25)."""

# --- state ----------------------------------------------------------------------------------------

MAX_STATE_KEYS: Final = 1_024
"""CH-31: keys per channel and direction."""
STATE_READ_BYTES: Final = 4_194_304
"""Receiving: items that the user has not taken; beyond, the oldest is dropped."""

# --- stream ---------------------------------------------------------------------------------------

STREAM_QUEUE_BYTES: Final = 2 * (MAX_STREAM_MESSAGE_BYTES + MESSAGE_OVERHEAD_BYTES)
"""Sending: holds two messages of the largest size; beyond, the oldest that has not begun is dropped."""
STREAM_READ_BYTES: Final = 4_194_304
"""Receiving: whole messages that the user has not taken; beyond, the oldest is dropped."""
STREAM_BUNDLE_MESSAGES: Final = 256
"""Sending: messages in one bundle; more save nothing."""
STREAM_REORDER_MESSAGES: Final = 128
"""Whole messages that may overtake a missing one before it is given up."""

# --- relay ----------------------------------------------------------------------------------------

RELAY_QUEUE_BYTES: Final = 262_144
"""Sending: frames of all flows; beyond, the oldest of the flow that has most is dropped."""
RELAY_FLOW_BYTES: Final = 65_536
"""Sending: frames of one flow, and all that is said about flows; beyond, the oldest is dropped."""
RELAY_READ_BYTES: Final = 262_144
"""Receiving: messages that the user has not taken; beyond, the oldest is dropped."""
MAX_RELAY_PARTIALS_IN_ALL: Final = 256
"""Receiving: datagrams of all flows of which some parts have arrived; beyond, the oldest is dropped. A neighbour may
speak of flows that nobody knows."""

# --- bulk -----------------------------------------------------------------------------------------

MAX_TRANSFERS: Final = 16
"""Live transfers per channel and direction."""
MAX_ENDED_TRANSFERS: Final = 256
"""Transfers of the peer whose end is remembered, so that a late chunk or offer is answered (CH-56)."""
BULK_WINDOW_BYTES: Final = 4_194_304
"""Flow window: bytes of one transfer that may stand between the wire and the user."""
MAX_BULK_FLIGHT_BYTES: Final = 4_194_304
"""CH-55: bytes of one transfer that are sent beyond what has arrived in order, whatever window the peer grants."""
MAX_BULK_CHUNK_FRAME_BYTES: Final = 61_440
"""Frame of a chunk where the carrier would take more."""
MAX_BULK_SEGMENTS: Final = 8_192
"""Chunks of one transfer that wait for an earlier one; beyond, they are dropped and come again."""
BULK_MERGE_BYTES: Final = 512
"""Chunks smaller than this are joined while they wait for the user: tiny chunks must not cost an object each."""
BULK_MERGED_BYTES: Final = 4_096
"""A joined piece does not grow beyond this."""
BULK_ACK_EVERY: Final = 2
"""CH-54: chunks that one BULK_ACK may cover."""
BULK_ACK_DELAY_S: Final = 0.01
"""How long a single chunk waits for a second one."""
MAX_DONE_REPEATS: Final = 128
"""How often a cancelled transfer is announced before its receiver is left to the end of the association."""
