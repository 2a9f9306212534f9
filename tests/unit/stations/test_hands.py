"""Rights in the hands of a user: what he is told is late, or lost, and what he did may have been undone meanwhile."""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from nodes.link import Link
from nodes.stations.hands import SURE_S, Hands
from protocols.airlink import AIRLINK, encode
from protocols.events import SendControl
from specs.airlink.authority import AuthorityAction, AuthorityRequest, AuthorityState, Right
from specs.airlink.command import Answer, Command, CommandCode, Result
from specs.airlink.control import Heartbeat
from specs.airlink.numbers import NOBODY, Direction
from specs.registry import ChannelId
from tests.live.kit import virtual

OWN, PEER, THIRD = (bytes([number]) * 16 for number in (1, 2, 3))
DONE = Answer(Result.DONE)


def state(changes: int, holder: bytes = NOBODY, candidate: bytes = NOBODY) -> AuthorityState:
    return AuthorityState(0, 0, changes, holder, candidate, NOBODY, NOBODY)


@dataclass
class FakeLink:
    """A drone that answers what a test says."""

    answers: deque[Answer | bytes] = field(default_factory=deque[Answer | bytes])
    asked: list[Any] = field(default_factory=list[Any])
    sent: list[Any] = field(default_factory=list[Any])
    on_request: Callable[[], object] = lambda: None

    async def request(self, data: bytes) -> bytes:
        self.asked.append(AIRLINK.decode_untrusted(ChannelId.COMMAND, data, Direction.UP))
        await trio.sleep(0.01)
        self.on_request()
        answer = self.answers.popleft()
        return answer if isinstance(answer, bytes) else encode(answer)

    def send_now(self, message: SendControl) -> int:
        self.sent.append(AIRLINK.decode_untrusted(message.channel, message.data, Direction.UP))
        return 0


@dataclass
class Scene:
    """Hands, what they asked, and what came of it."""

    link: FakeLink
    hands: Hands
    told: list[str]
    outcomes: list[bool] = field(default_factory=list[bool])

    def answer(self, *answers: Answer | bytes) -> None:
        self.link.answers.extend(answers)

    async def offer(self) -> None:
        self.outcomes.append(await self.hands.offer(Right.FLIGHT, PEER))

    async def accept(self) -> None:
        self.outcomes.append(await self.hands.accept(Right.FLIGHT))

    async def see(self, told: AuthorityState) -> None:
        """Be told something, and do whatever follows from it."""
        self.hands.see(told)
        await wait_all_tasks_blocked()


@pytest.fixture
def scene() -> Generator[Scene]:
    link, told = FakeLink(), list[str]()
    yield Scene(link, Hands(cast("Link", link), AIRLINK, OWN, told.append), told)
    assert not link.answers  # everything that a test prepared was asked for


async def answered() -> None:
    """Wait until the request that is under way has been answered, and what follows from it."""
    await trio.sleep(0.02)


# --- asking -----------------------------------------------------------------------------------------


@virtual
async def test_an_answer_that_says_nothing_is_none_and_counts(scene: Scene) -> None:
    scene.answer(b"\xff\xff nothing", Answer(Result.NOT_NOW, "landed"))
    assert await scene.hands.ask(Command(CommandCode.LAND), "land") is None
    assert (await scene.hands.ask(Command(CommandCode.LAND), "land")) == Answer(Result.NOT_NOW, "landed")
    assert (scene.hands.requests, scene.hands.answers) == (2, 2)
    assert scene.told == ["land: not now: landed (10.0 ms)"]


@virtual
async def test_heartbeats_come_as_often_as_al_6_asks(scene: Scene) -> None:
    with trio.move_on_after(1.0):
        await scene.hands.beat()
    assert 10 <= len(scene.link.sent) <= 11
    assert all(isinstance(beat, Heartbeat) for beat in scene.link.sent)


# --- taking what is free ------------------------------------------------------------------------------


@virtual
async def test_what_is_free_is_asked_for_once_it_is_told_to_be(scene: Scene) -> None:
    scene.answer(DONE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.hands.take_free, Right.FLIGHT)
        await answered()
        assert scene.link.asked == []
        await scene.see(state(1))
        await answered()
        assert scene.link.asked == [AuthorityRequest(AuthorityAction.REQUEST, Right.FLIGHT)]
        assert not scene.hands.holds(Right.FLIGHT)
        await scene.see(state(2, OWN))
    assert scene.hands.holds(Right.FLIGHT)


@virtual
async def test_what_somebody_has_is_not_asked_for(scene: Scene) -> None:
    scene.hands.see(state(1, THIRD))
    await scene.hands.take_free(Right.FLIGHT)
    assert scene.link.asked == []


@virtual
async def test_a_right_that_is_not_given_keeps_nobody_waiting(scene: Scene) -> None:
    scene.answer(Answer(Result.NOT_ALLOWED))
    scene.hands.see(state(1))
    with trio.fail_after(1.0):
        await scene.hands.take_free(Right.FLIGHT)


# --- offering -----------------------------------------------------------------------------------------


@virtual
async def test_an_offer_that_is_taken(scene: Scene) -> None:
    scene.answer(DONE)
    scene.hands.see(state(1, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.offer)
        await answered()
        await scene.see(state(2, OWN, PEER))
        assert scene.outcomes == []
        await scene.see(state(3, PEER))
    assert scene.outcomes == [True]
    assert scene.link.asked == [AuthorityRequest(AuthorityAction.OFFER, Right.FLIGHT, PEER)]


@virtual
async def test_an_offer_that_is_taken_before_it_is_told_to_stand(scene: Scene) -> None:
    scene.answer(DONE)
    scene.hands.see(state(1, OWN))
    scene.link.on_request = lambda: scene.hands.see(state(3, PEER))
    with trio.fail_after(1.0):
        await scene.offer()
    assert scene.outcomes == [True]


@pytest.mark.parametrize("answer", [Answer(Result.INVALID), Answer(Result.NOT_ALLOWED), b"nothing"], ids=repr)
@virtual
async def test_an_offer_that_is_refused(scene: Scene, answer: Answer | bytes) -> None:
    scene.answer(answer)
    scene.hands.see(state(1, OWN))
    await scene.offer()
    assert scene.outcomes == [False]


@pytest.mark.parametrize("after", [state(3, OWN), state(3, THIRD), state(3)], ids=["kept", "taken over", "revoked"])
@virtual
async def test_an_offer_that_is_declined_or_ends_or_loses_its_right(scene: Scene, after: AuthorityState) -> None:
    scene.answer(DONE)
    scene.hands.see(state(1, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.offer)
        await answered()
        await scene.see(state(2, OWN, PEER))
        await scene.see(state(2, OWN, PEER))  # it is told each second
        assert scene.outcomes == []
        await scene.see(after)
    assert scene.outcomes == [False]


@virtual
async def test_what_was_told_before_the_offer_says_nothing_of_it(scene: Scene) -> None:
    scene.answer(DONE)
    scene.hands.see(state(1, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.offer)
        await answered()
        await scene.see(state(1, OWN))
        assert scene.outcomes == []
        await scene.see(state(2, OWN, PEER))
        await scene.see(state(3, PEER))
    assert scene.outcomes == [True]


@virtual
async def test_the_payload_right_may_move_meanwhile(scene: Scene) -> None:
    scene.answer(DONE)
    scene.hands.see(state(1, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.offer)
        await answered()
        await scene.see(state(2, OWN))  # something else has changed, and then our offer came
        assert scene.outcomes == []
        await scene.see(state(4, PEER))
    assert scene.outcomes == [True]


@virtual
async def test_an_offer_that_was_over_before_it_was_ever_told(scene: Scene) -> None:
    """The newest state wins, and datagrams are lost: nobody may wait for ever for one that never comes."""
    scene.answer(DONE)
    scene.hands.see(state(1, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.offer)
        await answered()
        await scene.see(state(3, OWN))
        await trio.sleep(SURE_S)
        await scene.see(state(3, OWN))
    assert scene.outcomes == [False]


@virtual
async def test_a_right_that_came_a_moment_ago_is_offered_back(scene: Scene) -> None:
    """What is told still names the peer as the holder: that is not the answer to our offer."""
    scene.answer(DONE, DONE)
    scene.hands.see(state(1, PEER, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.accept)
        await answered()
        assert scene.outcomes == []  # not before it is told to be ours
        await scene.see(state(2, OWN))
        assert scene.outcomes == [True]
        nursery.start_soon(scene.offer)
        await answered()
        assert scene.outcomes == [True]
        await scene.see(state(3, OWN, PEER))
        await scene.see(state(4, PEER))
    assert scene.outcomes == [True, True]


# --- accepting ----------------------------------------------------------------------------------------


@virtual
async def test_an_offer_is_waited_for_and_taken_from_who_made_it(scene: Scene) -> None:
    scene.answer(DONE)
    scene.hands.see(state(1, PEER))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.accept)
        await scene.see(state(2, PEER, THIRD))
        await answered()
        assert scene.link.asked == []
        await scene.see(state(3, PEER, OWN))
        await answered()
        assert scene.link.asked == [AuthorityRequest(AuthorityAction.ACCEPT, Right.FLIGHT, PEER)]
        await scene.see(state(4, OWN))
    assert scene.outcomes == [True]


@virtual
async def test_an_offer_that_is_over_when_it_is_taken(scene: Scene) -> None:
    """The old state is still what was told last: it must not be asked for again and again."""
    scene.answer(Answer(Result.NOT_NOW, "there is no such offer"))
    scene.hands.see(state(1, PEER, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.accept)
        await answered()
        assert scene.outcomes == []
        await scene.see(state(2, PEER))
    assert scene.outcomes == [False]


@virtual
async def test_a_right_that_was_taken_away_before_it_was_told_to_be_ours(scene: Scene) -> None:
    scene.answer(DONE)
    scene.hands.see(state(1, PEER, OWN))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.accept)
        await answered()
        await scene.see(state(3, THIRD))
        await trio.sleep(SURE_S)
        await scene.see(state(3, THIRD))
    assert scene.outcomes == [True]  # it was ours, and is not any more
    assert not scene.hands.holds(Right.FLIGHT)
