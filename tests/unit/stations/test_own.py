"""Messages of a user's own at the deck and between stations (specs/4-airlink.md, 4.7)."""

from functools import partial
from typing import Any

import pytest
import trio
from construct import Struct

from nodes.deck import Seat
from nodes.stations.hands import Hands
from nodes.stations.own import OwnMessages
from protocols.admission import Need
from protocols.errors import StorageError, UsageError
from protocols.events import AlarmKind
from protocols.failsafe import FailsafeConfig
from protocols.ownmessages import OwnMessage
from specs.airlink.authority import AuthorityAction, Right
from specs.airlink.command import Answer, Command, CommandCode, Result
from specs.airlink.numbers import Direction, numbered
from specs.registry import ChannelId
from specs.strict import Format, rest_bytes, u16
from tests.helpers.decks import CLOUD, MOBILE, OTHER, RC, DeckWorld
from tests.helpers.own import HORN, LEVEL, OWN, SPRAY, SPRAYED, TRACE, Horn, Level, Spray, Sprayed, Trace
from tests.helpers.stations import Stations, stations
from tests.live.kit import until, virtual

autojump = pytest.mark.usefixtures("autojump_clock")
WINCH = OwnMessage(
    0x8010,
    Format("winch", Level, Struct(numbered(0x8010), "millilitres" / u16)),
    ChannelId.COMMAND,
    Direction.UP,
)
"""It says nothing of what it needs; its dataclass is not of interest."""
CLOUDS = OwnMessage(0x8011, Format("c", Level, Struct(numbered(0x8011), "millilitres" / u16)), ChannelId.COMMAND,
                    Direction.UP, Need.CLOUD)  # fmt: skip
REEL = OwnMessage(0x8013, Format("r", Trace, Struct(numbered(0x8013), "data" / rest_bytes(9))), ChannelId.VIDEO,
                  Direction.UP)  # fmt: skip
NOZZLE = OwnMessage(0x8012, Format("n", Level, Struct(numbered(0x8012), "millilitres" / u16)), ChannelId.VIDEO,
                    Direction.UP)  # fmt: skip


def world_of(*own: OwnMessage) -> tuple[DeckWorld, list[Any]]:
    world = DeckWorld(config=FailsafeConfig(1.0, 5.0), own=own)
    done: list[Any] = []

    def obey(message: Any, seat: Seat) -> None:
        done.append((message, seat.key_id))

    world.deck.on_own = obey
    return world, done


def result(reply: object) -> Result:
    assert isinstance(reply, Answer)
    return reply.result


# --- the deck -------------------------------------------------------------------------------------------


@autojump
async def test_al_33_without_a_word_it_needs_the_flight_right() -> None:
    world, done = world_of(WINCH)
    pull = Level(5)
    for who in (RC, MOBILE, OTHER, CLOUD):
        assert result(world.deck.take_own(world.seats[who], ChannelId.COMMAND, pull)) is Result.NOT_ALLOWED
    assert done == []
    assert AlarmKind.AUTHORITY_REFUSED in world.kinds()
    assert "Level of RC" in world.alarms[0].detail
    assert await world.want(MOBILE, AuthorityAction.REQUEST) is Result.DONE
    assert result(world.deck.take_own(world.seats[MOBILE], ChannelId.COMMAND, pull)) is Result.DONE
    assert result(world.deck.take_own(world.seats[RC], ChannelId.COMMAND, pull)) is Result.NOT_ALLOWED
    assert done == [(pull, MOBILE)]
    assert world.deck.refused == 5


@autojump
async def test_al_33_each_needs_what_it_says() -> None:
    world, done = world_of(SPRAY, HORN)
    spray, horn = Spray(40, 3), Horn(1)
    assert await world.want(RC, AuthorityAction.REQUEST) is Result.DONE
    assert result(world.deck.take_own(world.seats[RC], ChannelId.COMMAND, spray)) is Result.NOT_ALLOWED
    assert await world.want(MOBILE, AuthorityAction.REQUEST, right=Right.PAYLOAD) is Result.DONE
    assert result(world.deck.take_own(world.seats[MOBILE], ChannelId.COMMAND, spray)) is Result.DONE
    for who in (RC, MOBILE, OTHER, CLOUD):
        assert result(world.deck.take_own(world.seats[who], ChannelId.COMMAND, horn)) is Result.DONE
    assert [message for message, _ in done] == [spray, *(4 * [horn])]

    world, done = world_of(CLOUDS)
    assert await world.want(RC, AuthorityAction.REQUEST) is Result.DONE
    for who in (RC, MOBILE, CLOUD):
        world.deck.take_own(world.seats[who], ChannelId.COMMAND, Level(1))
    assert done == [(Level(1), CLOUD)]


@autojump
async def test_al_33_whoever_has_no_link_any_more_is_refused() -> None:
    world, done = world_of(HORN)
    world.deck.detach(world.seats[OTHER])
    world.deck.forget(MOBILE)
    for who in (OTHER, MOBILE):
        assert result(world.deck.take_own(world.seats[who], ChannelId.COMMAND, Horn(1))) is Result.NOT_ALLOWED
    assert done == []


def obeying(world: DeckWorld) -> tuple[bool, bool]:
    return world.deck.failsafe.obeys_commands, world.deck.failsafe.obeys_sticks


@autojump
async def test_al_33_while_the_holder_is_not_heard_only_what_needs_no_flight_right_is_obeyed() -> None:
    world, done = world_of(WINCH, SPRAY, HORN, REEL)
    for right in Right:
        assert await world.want(RC, AuthorityAction.REQUEST, right=right) is Result.DONE
    world.vehicle.armed = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deck.run)
        await trio.sleep(2.0)
        seat = world.seats[RC]
        assert AlarmKind.FLIGHT_HOLDER_LOST in world.kinds()
        assert result(world.deck.take_own(seat, ChannelId.COMMAND, Level(1))) is Result.NOT_NOW
        assert result(world.deck.take_own(seat, ChannelId.COMMAND, Spray(1, 1))) is Result.DONE
        assert result(world.deck.take_own(seat, ChannelId.COMMAND, Horn(1))) is Result.DONE
        assert obeying(world) == (False, False)  # AU-30: nobody was heard by that
        await world.beat(RC)
        assert result(world.deck.take_own(seat, ChannelId.COMMAND, Level(2))) is Result.DONE
        assert world.deck.take_own(seat, ChannelId.VIDEO, Trace(b"reel in")) is None, "it is like sticks"
        assert obeying(world) == (True, False), "it is no command that ends what the failsafe began"
        assert await world.ask(RC, Command(CommandCode.HOLD)) is Result.DONE
        assert obeying(world) == (True, True)
        assert world.deck.take_own(seat, ChannelId.VIDEO, Trace(b"reel out")) is None
        nursery.cancel_scope.cancel()
    assert [message for message, _ in done] == [Spray(1, 1), Horn(1), Level(2), Trace(b"reel out")]


@autojump
async def test_al_33_what_is_no_request_is_dropped_without_an_answer() -> None:
    world, done = world_of(NOZZLE)
    assert world.deck.take_own(world.seats[RC], ChannelId.VIDEO, Level(1)) is None
    assert await world.want(RC, AuthorityAction.REQUEST) is Result.DONE
    assert world.deck.take_own(world.seats[RC], ChannelId.VIDEO, Level(1)) is None
    assert done == [(Level(1), RC)]
    assert world.deck.refused == 1


@autojump
async def test_al_33_what_is_not_declared_or_travels_down_is_admitted_by_no_way() -> None:
    world, done = world_of(HORN, LEVEL, SPRAYED)
    seat = world.seats[RC]
    for channel, message in ((ChannelId.COMMAND, Spray(1, 1)), (ChannelId.VIDEO, Horn(1)), (ChannelId.COMMAND, 7)):
        with pytest.raises(UsageError, match="does not travel like that"):
            world.deck.take_own(seat, channel, message)
    with pytest.raises(UsageError, match="does not travel like that"):
        await world.deck.take(seat, ChannelId.COMMAND, Horn(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert await world.want(RC, AuthorityAction.REQUEST) is Result.DONE
    assert result(world.deck.take_own(seat, ChannelId.COMMAND, Sprayed(1))) is Result.NOT_ALLOWED
    assert world.deck.take_own(seat, ChannelId.TELEMETRY, Level(1)) is None
    assert done == []


@autojump
async def test_the_handler_answers_refuses_or_is_missing() -> None:
    world, _ = world_of(HORN)
    seat = world.seats[RC]
    replies: list[object] = [Answer(Result.NOT_NOW, "it is hoarse"), Sprayed(3)]
    world.deck.on_own = lambda _message, _seat: replies.pop(0)
    assert world.deck.take_own(seat, ChannelId.COMMAND, Horn(1)) == Answer(Result.NOT_NOW, "it is hoarse")
    assert world.deck.take_own(seat, ChannelId.COMMAND, Horn(1)) == Sprayed(3)

    def fail(*_: object) -> None:
        raise StorageError("the horn is gone")

    world.deck.on_own = fail
    assert result(world.deck.take_own(seat, ChannelId.COMMAND, Horn(1))) is Result.FAILED

    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    world.deck.on_own = stumble  # a mistake of the user's lands no drone
    assert result(world.deck.take_own(seat, ChannelId.COMMAND, Horn(1))) is Result.FAILED
    world.deck.on_own = None
    assert result(world.deck.take_own(seat, ChannelId.COMMAND, Horn(1))) is Result.UNSUPPORTED


# --- stations -----------------------------------------------------------------------------------------


def start(found: Stations, nursery: trio.Nursery) -> None:
    for station in (found.drone, found.rc, found.mobile):
        nursery.start_soon(station.run)


@virtual
async def test_al_30_al_34_requests_go_up_answers_and_telemetry_come_down() -> None:
    with trio.fail_after(60):
        async with stations(own=OWN) as found, trio.open_nursery() as nursery:
            seen: dict[str, list[object]] = {"rc": [], "mobile": []}
            answers: list[object] = []

            def obey(message: Any, seat: Seat) -> object:
                assert seat.key_id == found.rc_id
                return Sprayed(message.percent * message.seconds) if isinstance(message, Spray) else None

            async def fly(hands: Hands) -> None:
                nursery.start_soon(hands.beat)
                answers.append(await hands.request(Spray(40, 3)))
                await hands.take_free(Right.FLIGHT, Right.PAYLOAD)
                answers.extend([await hands.request(Spray(40, 3)), await hands.request(Horn(2))])

            found.drone.deck.on_own = obey
            found.rc.fly = fly
            found.rc.see, found.mobile.see = seen["rc"].append, seen["mobile"].append
            start(found, nursery)
            await until(lambda: len(answers) == 3)
            assert answers == [Answer(Result.NOT_ALLOWED), Sprayed(120), Answer(Result.DONE)]
            await found.mobile.shown_drone()
            await until(lambda: len(found.drone.drone.links) == 2)
            found.drone.show(Level(880))
            found.drone.show(Trace(b"pressure"))
            for saw in seen.values():
                await until(partial(has_all, saw, Level(880), Trace(b"pressure")))
            assert found.rc.malformed == found.drone.malformed == 0
            nursery.cancel_scope.cancel()


def has_all(saw: list[object], *messages: object) -> bool:
    return all(message in saw for message in messages)


@virtual
async def test_al_32_whoever_has_not_declared_it_counts_it_and_the_link_stays() -> None:
    with trio.fail_after(60):
        async with stations(own=(LEVEL,), own_on_ground=(SPRAY,)) as found, trio.open_nursery() as nursery:
            answers: list[object] = []
            links: list[Any] = []

            async def fly(hands: Hands) -> None:
                links.append(hands.link)
                nursery.start_soon(hands.beat)
                await hands.take_free(Right.FLIGHT, Right.PAYLOAD)
                answers.append(await hands.request(Spray(40, 3)))
                await until(lambda: found.rc.malformed > 0)
                answers.append(await hands.ask(Command(CommandCode.HOLD)))

            found.rc.fly = fly
            start(found, nursery)
            await until(lambda: len(answers) == 1)
            found.drone.show(Level(1))
            await until(lambda: len(answers) == 2)
            assert answers[0] == Answer(Result.INVALID)
            assert isinstance(answers[1], Answer)
            assert answers[1].result is not Result.INVALID
            assert found.drone.malformed == found.rc.malformed == 1
            assert [link.down for link in links] == [None]
            nursery.cancel_scope.cancel()


@virtual
async def test_al_34_what_is_no_answer_is_told_to_the_operator_and_failed_to_the_peer() -> None:
    with trio.fail_after(60):
        async with stations(own=OWN) as found, trio.open_nursery() as nursery:
            answers: list[object] = []
            wrong: list[object] = ["a text", Level(1), Sprayed(1 << 20), Spray(1, 1)]
            replies = [*wrong]

            async def fly(hands: Hands) -> None:
                while replies:
                    answers.append(await hands.request(Horn(1)))

            found.drone.deck.on_own = lambda _message, _seat: replies.pop(0)
            found.rc.fly = fly
            start(found, nursery)
            await until(lambda: len(answers) == len(wrong))
            assert answers == [Answer(Result.FAILED)] * len(wrong)
            assert len(found.lines("a request could not be answered")) == len(wrong)
            nursery.cancel_scope.cancel()


@virtual
async def test_al_10_a_drone_s_own_request_down_is_refused_by_a_controller_that_has_no_hands_for_it() -> None:
    """Stations on the ground answer offers of logs, and nothing else."""
    down = OwnMessage(0x8020, Format("d", Horn, Struct(numbered(0x8020), "times" / u16)), ChannelId.COMMAND,
                      Direction.DOWN)  # fmt: skip
    with trio.fail_after(60):
        async with stations(own=(down,)) as found, trio.open_nursery() as nursery:
            start(found, nursery)
            await until(lambda: len(found.drone.drone.links) == 2)
            link = next(each for each in found.drone.drone.links.values() if each.key_id == found.rc_id)
            reply = await link.request(b"\x80\x20\x00\x01")
            assert reply[:2] == b"\x02\x80"
            assert reply[2:4] != bytes((0, Result.DONE))
            nursery.cancel_scope.cancel()


def test_only_what_goes_down_by_itself_is_shown() -> None:
    own = OwnMessages(OWN)
    assert own.shown(Level(1))[0] is ChannelId.TELEMETRY
    assert own.shown(Trace(b""))[0] is ChannelId.VIDEO
    assert own.has(Horn(1))
    assert not own.has(Answer(Result.DONE))
    for message in (Horn(1), Sprayed(1), Answer(Result.DONE)):
        with pytest.raises(UsageError):
            own.shown(message)
    with pytest.raises(UsageError, match="stands twice"):
        OwnMessages((HORN, HORN))
    assert TRACE.need is Need.FLIGHT
