"""The one place at the drone where messages of all links are admitted or refused (specs/7-authority.md).

A link hands in what it decoded, from its :class:`Seat`: the peer that it was authenticated with. Whether the link came
over the air or through relays plays no part. Between the check of a right and what is done by it nothing else runs:
everything from :meth:`FlightDeck.take` to the vehicle is synchronous. Only what needs no right, but a store, waits.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import trio

from nodes.errors import told
from nodes.vehicle import Keeper, Vehicle
from nodes.wakeup import Wakeup
from protocols.admission import (
    STICKS_MAVLINK,
    Need,
    commands_flight_untrusted,
    is_read_only_untrusted,
    mavlink_id_untrusted,
    need_of,
    required_right,
)
from protocols.authority import Authority, AuthorityChanged, Reason
from protocols.errors import AerolinkError, UsageError
from protocols.events import Alarm, AlarmKind
from protocols.failsafe import Effect, Failsafe
from protocols.guards.ratelimit import LogLimiter, SourceLimiter
from protocols.ownmessages import OwnMessage
from protocols.remotelink import CloudMessage
from specs.airlink.authority import AuthorityAction, AuthorityRequest, AuthorityState, Right
from specs.airlink.command import Answer, CameraControl, ChangeSettings, Command, CommandCode, GoTo, Result
from specs.airlink.control import Buttons, Heartbeat, Sticks
from specs.airlink.numbers import Direction
from specs.airlink.stream import MavlinkFrame
from specs.registry import ChannelId, Role
from specs.remotelink import CLOUD_MESSAGES, LogReceipt, RevokePeer, SealingKeys, VerifyingKeys

_log: Final = logging.getLogger(__name__)
TELL_S: Final = 1.0
"""The state of the rights is told at least this often (AU-14): the channel may lose it."""
WATCH_S: Final = 0.1
"""A vehicle does not say that its motors start or stop: it is looked at this often."""
GRACE_S: Final = 1.0
"""For so long what was under way when a right was lost raises no alarm (AU-23)."""
_ALARMS_PER_S, _ALARMS_AT_ONCE = 0.2, 3.0
_REQUESTS_PER_S, _REQUESTS_AT_ONCE = 5.0, 30.0
"""What one peer may ask about rights (AU-15): every change is told to all."""
_READS_PER_S, _READS_AT_ONCE = 50.0, 200.0
"""Read-only frames of one peer that does not fly (AU-25): the line to an autopilot may be a slow one."""
AT_REST: Final = Sticks(0, 0, 0, 0)
_PAYLOAD_BUTTONS: Final = Buttons.PHOTO | Buttons.RECORD
_SAFE_COMMANDS: Final = frozenset({CommandCode.RETURN_HOME, CommandCode.LAND})
_CHANNELS: Final = {row.format.type: row.channel for row in CLOUD_MESSAGES.values()}
_TAKEN: Final = frozenset({Reason.REVOKED, Reason.OVERRIDDEN, Reason.HOLDER_SILENT, Reason.PEER_REVOKED})
_OWNERS: Final = frozenset({AuthorityAction.REVOKE, AuthorityAction.OVERRIDE})

Reply = Answer | VerifyingKeys
"""What a request is answered with."""


@dataclass(eq=False, slots=True)
class Seat:
    """One link at the deck; :meth:`FlightDeck.detach` ends it."""

    key_id: bytes
    """Whom the link was authenticated with: the subject of everything that it brings (AU-1)."""
    role: Role
    """The role that was paired."""
    tell: Callable[[AuthorityState], None]
    """Sends the state of the rights down this link without waiting; an AerolinkError that it raises is its own."""


class FlightDeck:
    """Admits or refuses what peers want of one vehicle, and watches over its flight; :meth:`run` must run."""

    def __init__(
        self,
        vehicle: Vehicle,
        authority: Authority,
        failsafe: Failsafe,
        alarm: Callable[[Alarm], None],
        keeper: Keeper | None = None,
        own: Iterable[OwnMessage] = (),
    ) -> None:
        """``own``: messages of the user's own that are admitted here; what they do, :attr:`on_own` does."""
        self.authority: Final = authority
        """The rights; ``handed_over`` lists the hand-overs. Change nothing but ``owner`` from outside."""
        self.failsafe: Final = failsafe
        """What happens when the holder is not heard."""
        self.on_change: Callable[[AuthorityChanged], None] | None = None
        """Told of every right that changes its holder; it does not wait, nor raise."""
        self.on_own: Callable[[Any, Seat], object] | None = None
        """Given each message of the user's own that was admitted, and whose it is; the answer, if it is a request.

        It returns at once, as a vehicle does. None is DONE; whatever error it raises is FAILED, and is logged.
        """
        self.refused = 0
        """Messages that were not admitted."""
        self.stale = 0
        """Control messages whose lifetime was over."""
        self._vehicle = vehicle
        self._alarm = alarm
        self._keeper = keeper
        self._own: Final = {each.format.type: each for each in own}
        self._seats: list[Seat] = []
        self._sticks_end_s: float | None = None
        self._lost_flight: tuple[bytes | None, float] = (None, 0.0)
        self._told = -1
        self._told_s = -TELL_S
        self._alarms = LogLimiter(_ALARMS_PER_S, _ALARMS_AT_ONCE)
        self._rates = SourceLimiter(_REQUESTS_PER_S, _REQUESTS_AT_ONCE)
        self._reads = SourceLimiter(_READS_PER_S, _READS_AT_ONCE)
        self._sleeps_until = math.inf
        self._sooner = Wakeup()
        self._requests: Final[Mapping[type[object], Callable[[Seat, CloudMessage, float], Answer]]] = {
            Command: self._command,
            GoTo: self._command,
            CameraControl: self._act,
            ChangeSettings: self._act,
            AuthorityRequest: self._change_authority,
        }

    # --- links ------------------------------------------------------------------------------------

    def attach(self, key_id: bytes, role: Role, tell: Callable[[AuthorityState], None]) -> Seat:
        """A link to this peer is up. It is told at once how the rights stand, and whenever that changes."""
        now = trio.current_time()
        seat = Seat(key_id, role, tell)
        self._seats.append(seat)
        self.authority.attach(key_id, role, now)
        self._settle(now)
        self._tell(seat)
        return seat

    def detach(self, seat: Seat) -> None:
        """The link is over; the peer stays what it is as long as it has another. Twice is once."""
        if seat not in self._seats:
            return
        now = trio.current_time()
        self._seats.remove(seat)
        if all(other.key_id != seat.key_id for other in self._seats):
            self.authority.detach(seat.key_id, now)
        self._settle(now)

    def forget(self, key_id: bytes) -> None:
        """The pairing of this peer is revoked: nothing of it is admitted from now on, on whatever link (AU-9)."""
        now = trio.current_time()
        self._seats = [seat for seat in self._seats if seat.key_id != key_id]
        self.authority.forget(key_id, now)
        self._settle(now)

    # --- messages ---------------------------------------------------------------------------------

    async def take(
        self, seat: Seat, channel: ChannelId, message: CloudMessage, expires_s: float | None = None
    ) -> Reply | None:
        """Do what a peer says, if it may; the answer if it is a request (channel `command`), else None.

        ``message`` was decoded by the table of the link, travelling up; ``expires_s`` is that of ControlReceived.
        UsageError if the two do not fit the message: that is the caller's mistake.
        """
        if _CHANNELS.get(type(message)) is not channel or (channel is ChannelId.CONTROL) != (expires_s is not None):
            raise UsageError(f"deck: {type(message).__name__} does not travel like that")
        now = trio.current_time()
        self._settle(now)
        if not self._admits(seat, message, now):
            self._refuse(seat, message, now)
            return Answer(Result.NOT_ALLOWED) if channel is ChannelId.COMMAND else None
        if isinstance(message, SealingKeys | LogReceipt | RevokePeer):
            return await self._keep(seat, message)
        reply = self._do(seat, message, expires_s, now)
        self._settle(now)
        return reply

    def take_own(self, seat: Seat, channel: ChannelId, message: object) -> object | None:
        """Hand a message of the user's own to :attr:`on_own`, if its sender may; the answer if it is a request (AL-33).

        UsageError if the deck has no such message, or not on this channel.
        """
        own = self._own.get(type(message))
        if own is None or own.channel is not channel:
            raise UsageError(f"deck: {type(message).__name__} does not travel like that")
        now = trio.current_time()
        self._settle(now)
        if Direction.UP not in own.direction or not self._meets(seat, own.need, own.right, now):
            self._refuse(seat, message, now)
            reply: object = Answer(Result.NOT_ALLOWED)
        elif own.need is Need.FLIGHT and not self._flies(channel):
            self.refused += 1
            reply = Answer(Result.NOT_NOW, "your heartbeat is not heard: the failsafe flies")
        else:
            reply = self._hand_on(seat, message)
            self._settle(now)
        return reply if channel is ChannelId.COMMAND else None

    def _flies(self, channel: ChannelId) -> bool:
        """AU-33: a request is one that flies, and what is no request is like sticks."""
        return self.failsafe.obeys_commands if channel is ChannelId.COMMAND else self.failsafe.obeys_sticks

    def _hand_on(self, seat: Seat, message: object) -> object:
        if self.on_own is None:
            return Answer(Result.UNSUPPORTED)
        try:
            reply = self.on_own(message, seat)
        except Exception as error:  # noqa: BLE001  # the border to foreign code: a drone goes on flying
            _log.warning("a message of the user's own could not be obeyed: %s", told(error))
            _log.debug("it was raised here", exc_info=error)
            return Answer(Result.FAILED)
        return Answer(Result.DONE) if reply is None else reply

    def _admits(self, seat: Seat, message: CloudMessage, now: float) -> bool:
        """AU-20."""
        return self._meets(seat, need_of(message), required_right(message), now)

    def _meets(self, seat: Seat, need: Need, right: Right | None, now: float) -> bool:
        """AU-20, AU-24."""
        if seat not in self._seats or need is Need.NEVER:
            return False
        if right is not None:
            return self.authority.holds(seat.key_id, right, now)
        return need is not Need.CLOUD or seat.role is Role.CLOUD

    def _do(self, seat: Seat, message: CloudMessage, expires_s: float | None, now: float) -> Answer | None:
        """What is admitted is done, at once."""
        if isinstance(message, MavlinkFrame):
            self._pass_on(seat, message.frame, now)
        elif expires_s is not None:
            self._control(seat, message, expires_s, now)
        else:
            handler = self._requests.get(type(message))
            return Answer(Result.UNSUPPORTED) if handler is None else handler(seat, message, now)
        return None

    def _control(self, seat: Seat, message: CloudMessage, expires_s: float, now: float) -> None:
        if now > expires_s:
            self.stale += 1
        elif isinstance(message, Heartbeat | Sticks):
            self.authority.heard(seat.key_id, now)
            self.failsafe.heard(seat.key_id, now)
            if isinstance(message, Sticks) and self.failsafe.obeys_sticks:
                self._steer(seat, message, expires_s, now)

    def _steer(self, seat: Seat, sticks: Sticks, expires_s: float, now: float) -> None:
        if not self.authority.holds(seat.key_id, Right.PAYLOAD, now):  # AU-22
            sticks = replace(sticks, buttons=sticks.buttons & ~_PAYLOAD_BUTTONS)
        self._sticks_end_s = expires_s
        self._vehicle.steer(sticks)

    def _pass_on(self, seat: Seat, frame: bytes, now: float) -> None:
        """AU-21, AU-25, AU-33, MV-46."""
        if not self.authority.holds(seat.key_id, Right.FLIGHT, now) and not self._reads.allow(seat.key_id, now):
            self.refused += 1
            return
        obeyed = self.failsafe.obeys_commands
        if obeyed and not self.failsafe.obeys_sticks:
            obeyed = mavlink_id_untrusted(frame) not in {None, *STICKS_MAVLINK}
        if obeyed or is_read_only_untrusted(frame):
            self._vehicle.take_mavlink(frame)
            if commands_flight_untrusted(frame):
                self.failsafe.commanded(seat.key_id, now)
        else:
            self.refused += 1

    def _command(self, seat: Seat, message: CloudMessage, now: float) -> Answer:
        safe = isinstance(message, Command) and message.code in _SAFE_COMMANDS
        if not (safe or self.failsafe.obeys_commands):
            return Answer(Result.NOT_NOW, "your heartbeat is not heard: the failsafe flies")
        answer = self._act(seat, message, now)
        if answer.result in {Result.DONE, Result.STARTED}:
            self.failsafe.commanded(seat.key_id, now)
        return answer

    def _act(self, seat: Seat, message: CloudMessage, now: float) -> Answer:  # noqa: ARG002  # one of `_requests`
        try:
            match message:
                case Command():
                    return self._vehicle.command(message.code)
                case GoTo():
                    return self._vehicle.go_to(message)
                case CameraControl():
                    return self._vehicle.control_camera(message)
                case ChangeSettings():
                    return self._vehicle.change_settings(message)
                case _:
                    return Answer(Result.UNSUPPORTED)
        except AerolinkError as error:
            _log.warning("the vehicle failed at a request: %s", error)
            return Answer(Result.FAILED)

    def _change_authority(self, seat: Seat, message: CloudMessage, now: float) -> Answer:
        if not isinstance(message, AuthorityRequest):
            return Answer(Result.UNSUPPORTED)
        if not self._rates.allow(seat.key_id, now):
            return Answer(Result.NOT_NOW, "too many requests: wait a moment")
        answer = self.authority.request(seat.key_id, message, now)
        if answer.result is Result.NOT_ALLOWED and message.action in _OWNERS:
            self._refuse(seat, message, now)
        return answer

    async def _keep(self, seat: Seat, message: SealingKeys | LogReceipt | RevokePeer) -> Reply:
        """What the cloud's role admits (AU-24); a revocation holds before it is durable."""
        if isinstance(message, RevokePeer) and message.peer == seat.key_id:
            return Answer(Result.INVALID, "a device does not revoke itself")  # GL-13
        keeper = self._keeper
        if keeper is None:
            return Answer(Result.UNSUPPORTED)
        try:
            match message:
                case SealingKeys():
                    return await keeper.seal_to(message, seat.key_id)
                case LogReceipt():
                    return await keeper.log_stored(message, seat.key_id)
                case RevokePeer():
                    return await self._revoke(keeper, seat, message.peer)
        except AerolinkError as error:
            _log.warning("what the cloud asked for could not be kept: %s", error)
            return Answer(Result.FAILED)

    async def _revoke(self, keeper: Keeper, seat: Seat, peer: bytes) -> Answer:
        if not await keeper.may_revoke(peer, seat.key_id):  # GL-16
            self._refuse(seat, RevokePeer(peer), trio.current_time())
            return Answer(Result.NOT_ALLOWED)
        self.forget(peer)
        return await keeper.revoke(peer)

    def _refuse(self, seat: Seat, message: object, now: float) -> None:
        """Count it, and tell the operator: not too often, and not of what was under way (AU-23)."""
        self.refused += 1
        before, since_s = self._lost_flight
        if isinstance(message, Sticks | MavlinkFrame) and before == seat.key_id and now < since_s + GRACE_S:
            return
        omitted = self._alarms.note(seat.key_id.hex(), now)
        if omitted is not None:
            more = f" ({omitted} more since the last)" if omitted else ""
            what = f"{type(message).__name__} of {seat.role.name} {seat.key_id.hex()}{more}"
            self._alarm(Alarm(AlarmKind.AUTHORITY_REFUSED, what))

    # --- time, and what follows from it -------------------------------------------------------------

    async def run(self) -> None:
        """Let time do its part, for ever: offers end, the failsafe acts, sticks come to rest, peers are told."""
        while True:
            now = trio.current_time()
            self._settle(now)
            if now >= self._told_s + TELL_S:
                self._tell_all(now)
            self._sleeps_until = min(now + WATCH_S, self._next_deadline())
            self._sooner.is_set = False
            with trio.move_on_at(self._sleeps_until):
                await self._sooner.wait()

    def _next_deadline(self) -> float:
        times = (self.authority.next_deadline(), self.failsafe.next_deadline(), self._sticks_end_s)
        return min((time for time in times if time is not None), default=math.inf)

    def _settle(self, now: float) -> None:
        """Everything that follows from what has just happened, and from the time that has passed."""
        self.authority.handle_deadline(now)
        while (change := self.authority.next_event()) is not None:
            self._on_change(change)
        self.failsafe.observe(self._vehicle.armed, now)
        while (effect := self.failsafe.next_effect()) is not None:
            self._apply(effect)
        if self._sticks_end_s is not None and now >= self._sticks_end_s:
            self._rest()
        if self.authority.changes != self._told:
            self._tell_all(now)
        if self._next_deadline() < self._sleeps_until:
            self._sooner.set()

    def _on_change(self, change: AuthorityChanged) -> None:
        _log.info("%s right: %s", change.right.name.lower(), change.reason.value)
        if change.right is Right.FLIGHT:
            self._lost_flight = (change.before, change.at_s)
            self.failsafe.set_holder(change.after, change.at_s)
            self._rest()
        if change.reason in _TAKEN and change.before is not None:
            what = f"{change.right.name} of {change.before.hex()}: {change.reason.value}"
            self._alarm(Alarm(AlarmKind.AUTHORITY_TAKEN, what))
        if self.on_change is not None:
            self.on_change(change)

    def _apply(self, effect: Effect) -> None:
        """AU-31."""
        holder = self.authority.holder(Right.FLIGHT)
        who = "nobody holds the right" if holder is None else f"device {holder.hex()}"
        self._alarm(Alarm(AlarmKind.FLIGHT_HOLDER_LOST, f"{who}: {effect.value}"))
        self._rest()
        match effect:
            case Effect.HOLD:
                self._vehicle.hold()
            case Effect.RETURN_HOME:
                self._vehicle.return_home()
            case Effect.LAND:
                self._vehicle.land()

    def _rest(self) -> None:
        """AU-34."""
        self._sticks_end_s = None
        self._vehicle.steer(AT_REST)

    def _tell_all(self, now: float) -> None:
        self._told, self._told_s = self.authority.changes, now
        for seat in tuple(self._seats):
            self._tell(seat)

    def _tell(self, seat: Seat) -> None:
        try:
            seat.tell(self.authority.state())
        except AerolinkError as error:  # a link that is just ending; whoever it belongs to knows
            _log.debug("a peer could not be told of the rights: %s", error)
