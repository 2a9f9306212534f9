"""A flight deck with two kinds of vehicle behind it: one that writes down what it is told, and the flight model."""

from dataclasses import dataclass, field
from typing import Any, Final

import trio

from nodes.deck import FlightDeck, Reply, Seat
from nodes.flight import Command as FlightCommand
from nodes.flight import FlightModel, Phase
from nodes.flight import Sticks as ModelSticks
from nodes.flight.safety import ModelSafety
from protocols.authority import Authority, AuthorityPolicy
from protocols.errors import StorageError
from protocols.events import Alarm, AlarmKind
from protocols.failsafe import Failsafe, FailsafeConfig
from protocols.ownmessages import OwnMessage
from specs.airlink.authority import AuthorityAction, AuthorityRequest, AuthorityState, Right
from specs.airlink.command import Answer, CameraControl, ChangeSettings, CommandCode, GoTo, Result
from specs.airlink.control import Heartbeat, NodeState, Sticks
from specs.airlink.numbers import NOBODY
from specs.registry import ChannelId, Role
from specs.remotelink import LogReceipt, SealingKeys, VerifyingKeys

RC, MOBILE, CLOUD, OTHER = (bytes((number,)) * 16 for number in (1, 2, 3, 4))
ROLES: Final = {RC: Role.RC, MOBILE: Role.MOBILE, CLOUD: Role.CLOUD, OTHER: Role.MOBILE}
KEYS: Final = VerifyingKeys(b"ecdsa", b"mldsa")
_COMMANDS: Final = {
    CommandCode.TAKE_OFF: FlightCommand.TAKE_OFF,
    CommandCode.LAND: FlightCommand.LAND,
    CommandCode.HOLD: FlightCommand.HOLD,
    CommandCode.RETURN_HOME: FlightCommand.RETURN_HOME,
    CommandCode.FLY_ROUTE: FlightCommand.FLY_ROUTE,
}


class NotedVehicle:
    """Does everything, and writes it down."""

    def __init__(self) -> None:
        self.armed = False
        self.done: list[Any] = []
        self.sticks = Sticks(0, 0, 0, 0)
        self.answer = Answer(Result.DONE)
        self.error: Exception | None = None

    def _note(self, what: object) -> Answer:
        if self.error is not None:
            raise self.error
        self.done.append(what)
        return self.answer

    def command(self, code: CommandCode) -> Answer:
        return self._note(code)

    def go_to(self, place: GoTo) -> Answer:
        return self._note(place)

    def steer(self, sticks: Sticks) -> None:
        self.sticks = sticks

    def control_camera(self, control: CameraControl) -> Answer:
        return self._note(control)

    def change_settings(self, change: ChangeSettings) -> Answer:
        return self._note(change)

    def take_mavlink(self, frame: bytes) -> None:
        self._note(frame)

    def hold(self) -> None:
        self._note("hold")

    def return_home(self) -> None:
        self._note("return home")

    def land(self) -> None:
        self._note("land")


class ModelCraft(ModelSafety):
    """The flight model, as a deck wants a vehicle."""

    def __init__(self) -> None:
        self.model = FlightModel()
        super().__init__(self.model)

    def phase(self) -> Phase:
        return self.model.state.phase

    async def fly(self) -> None:
        """In time with trio's clock."""
        while True:
            await trio.sleep(0.05)
            self.model.step(0.05)

    def command(self, code: CommandCode) -> Answer:
        return Answer(Result.STARTED if self.model.apply_command(_COMMANDS[code]) else Result.NOT_NOW)

    def go_to(self, place: GoTo) -> Answer:  # noqa: ARG002
        return Answer(Result.UNSUPPORTED)

    def steer(self, sticks: Sticks) -> None:
        self.model.set_sticks(ModelSticks(sticks.pitch_permille / 1_000, sticks.roll_permille / 1_000))

    def control_camera(self, control: CameraControl) -> Answer:  # noqa: ARG002
        return Answer(Result.UNSUPPORTED)

    def change_settings(self, change: ChangeSettings) -> Answer:  # noqa: ARG002
        return Answer(Result.UNSUPPORTED)

    def take_mavlink(self, frame: bytes) -> None:
        """Nobody is there."""


class NotedKeeper:
    """Keeps what the cloud says, or fails to."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.fails = False
        self.lets_revoke = True

    async def _keep(self, what: object) -> None:
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise StorageError("the disk is full")
        self.kept.append(what)

    async def seal_to(self, keys: SealingKeys, cloud: bytes) -> VerifyingKeys | Answer:
        await self._keep((keys, cloud))
        return KEYS

    async def log_stored(self, receipt: LogReceipt, cloud: bytes) -> Answer:
        assert cloud == CLOUD
        await self._keep(receipt)
        return Answer(Result.DONE)

    async def may_revoke(self, key_id: bytes, cloud: bytes) -> bool:  # noqa: ARG002
        await trio.lowlevel.checkpoint()
        assert cloud == CLOUD
        return self.lets_revoke

    async def revoke(self, key_id: bytes) -> Answer:
        await self._keep(key_id)
        return Answer(Result.DONE)


@dataclass
class DeckWorld:
    """A deck with RC (the owner), MOBILE, OTHER (a mobile too) and CLOUD at it, and everything that it says."""

    vehicle: Any = field(default_factory=NotedVehicle)
    config: FailsafeConfig = field(default_factory=FailsafeConfig)
    policy: AuthorityPolicy = field(default_factory=lambda: AuthorityPolicy(owner=RC))
    keeper: NotedKeeper = field(default_factory=NotedKeeper)
    own: tuple[OwnMessage, ...] = ()
    alarms: list[Alarm] = field(default_factory=list[Alarm])
    told: dict[bytes, list[AuthorityState]] = field(default_factory=dict[bytes, list[AuthorityState]])
    seats: dict[bytes, Seat] = field(default_factory=dict[bytes, Seat])

    def __post_init__(self) -> None:
        authority, failsafe = Authority(self.policy), Failsafe(self.config)
        self.deck = FlightDeck(self.vehicle, authority, failsafe, self.alarms.append, self.keeper, self.own)
        for key_id, role in ROLES.items():
            states = self.told.setdefault(key_id, [])
            self.seats[key_id] = self.deck.attach(key_id, role, states.append)

    def kinds(self) -> list[AlarmKind]:
        return [alarm.kind for alarm in self.alarms]

    async def request(self, who: bytes, message: Any) -> Reply:
        reply = await self.deck.take(self.seats[who], ChannelId.COMMAND, message)
        assert reply is not None
        return reply

    async def ask(self, who: bytes, message: Any) -> Result:
        reply = await self.request(who, message)
        assert isinstance(reply, Answer)
        return reply.result

    async def want(
        self, who: bytes, action: AuthorityAction, peer: bytes = NOBODY, right: Right = Right.FLIGHT
    ) -> Result:
        return await self.ask(who, AuthorityRequest(action, right, peer))

    async def beat(self, who: bytes) -> None:
        await self.control(who, Heartbeat(NodeState.ACTIVE, 0))

    async def control(self, who: bytes, message: Heartbeat | Sticks, lifetime_s: float = 0.5) -> None:
        expires_s = trio.current_time() + lifetime_s
        assert await self.deck.take(self.seats[who], ChannelId.CONTROL, message, expires_s) is None

    async def beat_on(self, who: bytes) -> None:
        """Heartbeats as AL-6 wants them, for ever."""
        while True:
            await self.beat(who)
            await trio.sleep(0.2)
