"""Where the way to the cloud stands, as a table: a pair that is not in it is a bug of ours.

*Waiting* is the rest state: nothing is wrong with the device, the cloud is not there now. *Refused* is for what trying
again soon does not heal: no enrolment, a wrong clock, a certificate that ended or was revoked. Both end by themselves,
after a wait; a refusal waits the longest there is.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from protocols.errors import UsageError


class UplinkState(Enum):
    """What the user sees."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    REFUSED = "refused"


class Step(Enum):
    """What moves it."""

    TRY = "a try begins"
    ANSWERED = "the cloud answered as ours"
    LOST = "no answer, or the connection broke"
    REFUSED = "we are not let in, or must not go"
    STOP = "the node ends"


_S, _T = UplinkState, Step

STATES: Final[Mapping[UplinkState, Mapping[Step, UplinkState]]] = {
    _S.STOPPED: {_T.TRY: _S.CONNECTING, _T.STOP: _S.STOPPED},
    _S.CONNECTING: {
        _T.ANSWERED: _S.ONLINE,
        _T.LOST: _S.WAITING,
        _T.REFUSED: _S.REFUSED,
        _T.STOP: _S.STOPPED,
    },
    _S.ONLINE: {_T.LOST: _S.WAITING, _T.REFUSED: _S.REFUSED, _T.TRY: _S.CONNECTING, _T.STOP: _S.STOPPED},
    _S.WAITING: {_T.TRY: _S.CONNECTING, _T.STOP: _S.STOPPED},
    _S.REFUSED: {_T.TRY: _S.CONNECTING, _T.STOP: _S.STOPPED},
}
"""ONLINE meets TRY when the certificate was renewed: the next connection shows the new one."""


def after(state: UplinkState, step: Step) -> UplinkState:
    """Return the next state; UsageError for a step that this state has not."""
    try:
        return STATES[state][step]
    except KeyError:
        raise UsageError(f"the uplink is {state.value}: {step.value!r} does not come then") from None
