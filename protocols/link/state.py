"""The link's state machines, as tables (specs/1-link.md, 2-pairing.md).

Theory of operation. Three machines live in this file, and every transition of each stands here:

- the *initiator* of a handshake: it waits for counters, writes message 1 (a job), waits for message 2, reads it
  (a job); a response that fails to read leaves it waiting, because a bad message changes nothing;
- the *pending handshake* of a responder: it reads message 1 (a job), waits for the node's word on the peer, writes
  message 2 (a job), and waits for proof: a transport message in a session, message 3 in a pairing;
- the *connection*: open until one of many ends.

A missing entry is an error: :func:`advance` raises UsageError, since the caller asked whether the event was
expected before it did anything. The tables do not know which carrier carries them.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, TypeVar

from protocols.errors import UsageError

S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)


class InitiatorState(Enum):
    """Named for what happened last."""

    IDLE = auto()
    STARTED = auto()
    """Waits for counters."""
    WRITING = auto()
    SENT = auto()
    READING = auto()
    FINISHED = auto()
    TIMED_OUT = auto()


class InitiatorEvent(Enum):
    """What moves an initiator."""

    START = auto()
    COUNTER = auto()
    WRITTEN = auto()
    RESPONSE = auto()
    READ = auto()
    BAD_RESPONSE = auto()
    RETRY = auto()
    GIVE_UP = auto()


_I, _IE = InitiatorState, InitiatorEvent
INITIATOR: Final[Mapping[tuple[InitiatorState, InitiatorEvent], InitiatorState]] = {
    (_I.IDLE, _IE.START): _I.STARTED,
    (_I.TIMED_OUT, _IE.START): _I.STARTED,
    (_I.FINISHED, _IE.START): _I.STARTED,
    (_I.STARTED, _IE.COUNTER): _I.WRITING,
    (_I.WRITING, _IE.WRITTEN): _I.SENT,
    (_I.SENT, _IE.RESPONSE): _I.READING,
    (_I.SENT, _IE.RETRY): _I.STARTED,
    (_I.READING, _IE.READ): _I.FINISHED,
    (_I.READING, _IE.BAD_RESPONSE): _I.SENT,
    (_I.STARTED, _IE.GIVE_UP): _I.TIMED_OUT,
    (_I.WRITING, _IE.GIVE_UP): _I.TIMED_OUT,
    (_I.SENT, _IE.GIVE_UP): _I.TIMED_OUT,
    (_I.READING, _IE.GIVE_UP): _I.TIMED_OUT,
}


class PendingState(Enum):
    """Where a responder's pending handshake stands."""

    READING = auto()
    """Message 1 is being read."""
    IDENTIFIED = auto()
    """Session: the node is asked about the peer."""
    WRITING = auto()
    """Message 2 is being written."""
    ANSWERED = auto()
    """Session: waits for the first transport message. Pairing: waits for message 3."""
    READING_FINISH = auto()
    """Pairing: message 3 is being read."""
    FINISH_IDENTIFIED = auto()
    """Pairing: the node is asked about the peer."""
    STORING = auto()
    """Pairing: the node stores the peer as pending."""
    REFUSED = auto()
    """Pairing: refused under the pairing's keys (and again on a repeated message 3)."""
    CONFIRMED = auto()
    """Session: in use. Pairing: the confirmation was sent (and is sent again on a repeated message 3)."""


class PendingEvent(Enum):
    """What moves a pending handshake."""

    READ_SESSION = auto()
    READ_PAIRING = auto()
    ACCEPT = auto()
    WRITTEN = auto()
    TRANSPORT = auto()
    FINISH = auto()
    BAD_FINISH = auto()
    READ_FINISH = auto()
    REFUSE = auto()
    STORED = auto()


_P, _PE = PendingState, PendingEvent
PENDING: Final[Mapping[tuple[PendingState, PendingEvent], PendingState]] = {
    (_P.READING, _PE.READ_SESSION): _P.IDENTIFIED,
    (_P.READING, _PE.READ_PAIRING): _P.ANSWERED,  # message 2 of a pairing is written in the same job
    (_P.IDENTIFIED, _PE.ACCEPT): _P.WRITING,
    (_P.WRITING, _PE.WRITTEN): _P.ANSWERED,
    (_P.ANSWERED, _PE.TRANSPORT): _P.CONFIRMED,
    (_P.ANSWERED, _PE.FINISH): _P.READING_FINISH,
    (_P.READING_FINISH, _PE.BAD_FINISH): _P.ANSWERED,
    (_P.READING_FINISH, _PE.READ_FINISH): _P.FINISH_IDENTIFIED,
    (_P.FINISH_IDENTIFIED, _PE.ACCEPT): _P.STORING,
    (_P.FINISH_IDENTIFIED, _PE.REFUSE): _P.REFUSED,
    (_P.STORING, _PE.STORED): _P.CONFIRMED,
}


class ConnectionState(Enum):
    """Life of an association."""

    OPEN = auto()
    CLOSING = auto()
    """Our close is still to be sent."""
    DOWN = auto()


class ConnectionEvent(Enum):
    """What moves a connection."""

    CLOSE = auto()
    CLOSE_SENT = auto()
    END = auto()
    """The peer's close, a timeout, an error: nothing more is sent."""


_C, _CE = ConnectionState, ConnectionEvent
CONNECTION: Final[Mapping[tuple[ConnectionState, ConnectionEvent], ConnectionState]] = {
    (_C.OPEN, _CE.CLOSE): _C.CLOSING,
    (_C.OPEN, _CE.END): _C.DOWN,
    (_C.CLOSING, _CE.CLOSE): _C.CLOSING,
    (_C.CLOSING, _CE.CLOSE_SENT): _C.DOWN,
    (_C.CLOSING, _CE.END): _C.DOWN,
    (_C.DOWN, _CE.CLOSE): _C.DOWN,
    (_C.DOWN, _CE.END): _C.DOWN,
}


def advance(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """Return the next state; UsageError when the table has no such transition."""
    try:
        return table[state, event]
    except KeyError:
        raise UsageError(f"{event.name} is not expected in {state.name}") from None
