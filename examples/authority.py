"""Your own vehicle behind a flight deck: who may do what, and what happens when the one who flies falls silent.

There is no network here: a seat is what a link is to the deck, and the clock jumps. In a drone's program the messages
come from ``Drone.next_link()`` and ``protocols.airlink``; ``DroneStation`` shows how.
"""

import trio
from trio.testing import MockClock

from nodes import FlightDeck
from protocols.authority import Authority
from protocols.events import Alarm
from protocols.failsafe import Failsafe
from specs.airlink.authority import AuthorityAction, AuthorityRequest, AuthorityState, Right
from specs.airlink.command import Answer, CameraControl, ChangeSettings, Command, CommandCode, GoTo, Result
from specs.airlink.control import Heartbeat, NodeState, Sticks
from specs.registry import ChannelId, Role

RC, MOBILE = b"remote control..", b"mobile.........."  # key ids: who is at the other end of an authenticated link


class PaperPlane:
    """The port ``nodes.vehicle.Vehicle``: everything returns at once."""

    armed = False

    def command(self, code: CommandCode) -> Answer:
        self.armed = code is CommandCode.TAKE_OFF or self.armed
        print(f"  the vehicle: {code.name}")
        return Answer(Result.DONE)

    def hold(self) -> None:
        print("  the vehicle holds its place")

    def return_home(self) -> None:
        print("  the vehicle flies home")

    def land(self) -> None: ...
    def steer(self, sticks: Sticks) -> None: ...
    def take_mavlink(self, frame: bytes) -> None: ...

    def go_to(self, place: GoTo) -> Answer:
        return Answer(Result.UNSUPPORTED, f"a paper plane cannot find {place.latitude_deg_e7}")

    def control_camera(self, control: CameraControl) -> Answer:
        return Answer(Result.UNSUPPORTED, control.action.name)

    def change_settings(self, change: ChangeSettings) -> Answer:
        return Answer(Result.UNSUPPORTED, f"{len(change.settings)} bytes")


def alarm(what: Alarm) -> None:
    print(f"  alarm: {what.kind.value}")


def nobody_listens(state: AuthorityState) -> None:
    """A link would send it down, so that every user sees who flies."""


async def main() -> None:
    deck = FlightDeck(PaperPlane(), Authority(), Failsafe(), alarm)
    rc = deck.attach(RC, Role.RC, nobody_listens)
    mobile = deck.attach(MOBILE, Role.MOBILE, nobody_listens)

    async def ask(who: str, message: Command | AuthorityRequest) -> None:
        answer = await deck.take(rc if who == "rc" else mobile, ChannelId.COMMAND, message)
        assert isinstance(answer, Answer)
        print(f"{who}: {answer.result.name}")

    take_off = Command(CommandCode.TAKE_OFF)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deck.run)
        await ask("rc", AuthorityRequest(AuthorityAction.REQUEST, Right.FLIGHT))
        await ask("mobile", take_off)  # paired and authenticated, and still not its turn
        await ask("rc", AuthorityRequest(AuthorityAction.OFFER, Right.FLIGHT, MOBILE))
        await ask("mobile", AuthorityRequest(AuthorityAction.ACCEPT, Right.FLIGHT, RC))
        await ask("rc", take_off)  # the right has one holder
        await ask("mobile", take_off)
        beat = Heartbeat(NodeState.ACTIVE, 0)
        await deck.take(mobile, ChannelId.CONTROL, beat, expires_s=trio.current_time() + 0.3)
        await trio.sleep(12)  # and not a word more from the mobile
        nursery.cancel_scope.cancel()


trio.run(main, clock=MockClock(autojump_threshold=0))
