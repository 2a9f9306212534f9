"""Random interleavings of peers, requests, time and lost links: what must hold whatever happens (specs/7-authority.md).

One machine drives the pure :class:`Authority` against a diary of what was said; the other drives a whole deck, under
trio's mock clock, and looks at every command that reached the vehicle.
"""

import random
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from trio.testing import MockClock

from nodes.deck import FlightDeck
from protocols.authority import Authority, AuthorityPolicy, Reason
from protocols.failsafe import Failsafe, FailsafeConfig
from protocols.remotelink import CloudMessage
from specs.airlink.authority import AuthorityAction, AuthorityRequest, Right
from specs.airlink.command import Answer, CameraAction, CameraControl, Command, CommandCode, Result
from specs.airlink.control import Heartbeat, NodeState, Sticks
from specs.airlink.numbers import NOBODY
from specs.registry import ChannelId, Role
from tests.conftest import examples
from tests.helpers.decks import CLOUD, MOBILE, OTHER, RC, ROLES, NotedVehicle

POLICY: Final = AuthorityPolicy(owner=RC, offer_s=5.0, holder_timeout_s=4.0, waiting_s=7.0)
peers = st.sampled_from([RC, MOBILE, OTHER, CLOUD])
rights = st.sampled_from(list(Right))
actions = st.sampled_from(list(AuthorityAction))
named = st.sampled_from([RC, MOBILE, OTHER, CLOUD, NOBODY])


@dataclass
class Offer:
    """An offer as a bystander knows it."""

    holder: bytes
    candidate: bytes
    ends_s: float


class Interleavings(RuleBasedStateMachine):
    """Peers say what they like, in any order; a bystander who only sees answers and events keeps the books."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10.0
        self.authority = Authority(POLICY)
        self.books: dict[Right, bytes | None] = dict.fromkeys(Right)
        self.offers: dict[Right, Offer] = {}
        self.attached: set[bytes] = set()
        self.heard_s = dict.fromkeys(Right, 0.0)
        self.waiting = dict.fromkeys(Right, 0)
        self.asking: Right | None = None
        self.handed_over = 0
        for key_id in ROLES:
            self.attach(key_id)

    def settle(self, accepted: tuple[Right, bytes, bytes] | None = None) -> None:
        """Take the events: each begins where the last one ended, and a hand-over has both confirmations."""
        while (event := self.authority.next_event()) is not None:
            assert event.before == self.books[event.right]
            assert event.before != event.after
            self.books[event.right] = event.after
            offer = self.offers.pop(event.right, None)
            if event.reason is Reason.HOLDER_SILENT:
                assert self.waiting[event.right] or self.asking is event.right
                assert self.now >= self.heard_s[event.right] + POLICY.holder_timeout_s
            self.heard_s[event.right] = self.now
            if event.reason is Reason.HANDED_OVER:
                assert offer is not None
                assert accepted == (event.right, event.after, event.before)
                assert (offer.holder, offer.candidate) == (event.before, event.after)
                assert self.now < offer.ends_s
                self.handed_over += 1
            elif event.after is not None:
                assert event.reason in {Reason.REQUESTED, Reason.OVERRIDDEN}
                assert event.before is None or event.after == RC  # only the owner takes from somebody

    def say(self, who: bytes, action: AuthorityAction, right: Right, peer: bytes = NOBODY) -> None:
        if who not in self.attached:
            return
        self.timer()
        before, holder = self.authority.state(), self.books[right]
        self.asking = right if action is AuthorityAction.REQUEST else None
        answer = self.authority.request(who, AuthorityRequest(action, right, peer), self.now)
        done = answer.result is Result.DONE
        if not done:
            assert self.authority.next_event() is None
            assert answer.result is Result.STARTED or self.authority.state() == before
        self.settle((right, who, peer) if done and action is AuthorityAction.ACCEPT else None)
        self.asking = None
        if not done:
            return
        assert who == RC or action not in {AuthorityAction.REVOKE, AuthorityAction.OVERRIDE}
        assert who == holder or action not in {AuthorityAction.OFFER, AuthorityAction.RELEASE}
        if action is AuthorityAction.OFFER:
            self.offers[right] = Offer(who, peer, self.now + POLICY.offer_s)
        elif action in {AuthorityAction.DECLINE, AuthorityAction.OVERRIDE}:
            self.offers.pop(right, None)
        elif action is AuthorityAction.CANCEL and who == holder:
            self.offers.pop(right)
        if action in {AuthorityAction.REQUEST, AuthorityAction.OVERRIDE, AuthorityAction.ACCEPT} and holder != who:
            assert self.books[right] == who
        if self.books[right] == who and holder == who and action is AuthorityAction.OVERRIDE:
            self.heard_s[right] = self.now

    @rule(who=peers, action=actions, right=rights, peer=named)
    def say_anything(self, who: bytes, action: AuthorityAction, right: Right, peer: bytes) -> None:
        self.say(who, action, right, peer)

    @rule(who=peers, action=actions, right=rights, peer=peers)
    def say_something_sensible(self, who: bytes, action: AuthorityAction, right: Right, peer: bytes) -> None:
        names = action in {AuthorityAction.OFFER, AuthorityAction.ACCEPT}
        self.say(who, action, right, peer if names else NOBODY)

    @rule(who=peers, right=rights)
    def want(self, who: bytes, right: Right) -> None:
        self.say(who, AuthorityAction.REQUEST, right)

    @rule(
        right=rights, candidate=peers, pause_s=st.sampled_from([0.0, 1.0, 4.9, 5.0]), third=st.none() | peers,
        misnamed=st.none() | peers, between=st.none() | st.tuples(peers, actions),
    )  # fmt: skip
    def hand_over(
        self,
        right: Right,
        candidate: bytes,
        pause_s: float,
        third: bytes | None,
        misnamed: bytes | None,
        between: tuple[bytes, AuthorityAction] | None,
    ) -> None:
        """Random words seldom agree: here they nearly do."""
        holder = self.books[right]
        if holder is None:
            return
        self.say(holder, AuthorityAction.OFFER, right, candidate)
        self.pass_time(pause_s)
        if between is not None:
            self.say(between[0], between[1], right)
        self.say(third or candidate, AuthorityAction.ACCEPT, right, misnamed or holder)

    @rule(who=peers)
    def beat(self, who: bytes) -> None:
        self.authority.heard(who, self.now)
        self.settle()
        self.heard_s |= {right: self.now for right in Right if self.books[right] == who}

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.9, 4.0, 5.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        """A timer may be late: nobody calls handle_deadline here."""
        self.now += seconds

    @rule()
    def timer(self) -> None:
        self.authority.handle_deadline(self.now)
        self.settle()
        deadline = self.authority.next_deadline()
        assert deadline is None or deadline > self.now

    @rule(who=peers)
    def lose(self, who: bytes) -> None:
        self.authority.detach(who, self.now)
        self.attached.discard(who)
        self.settle()
        self.offers = {right: offer for right, offer in self.offers.items() if offer.candidate != who}

    @rule(who=peers)
    def attach(self, who: bytes) -> None:
        self.authority.attach(who, ROLES[who], self.now)
        self.attached.add(who)
        self.settle()

    @invariant()
    def one_holder_or_none(self) -> None:
        for right in Right:
            holders = [who for who in ROLES if self.authority.holds(who, right, self.now)]
            self.settle()
            assert len(holders) <= 1
            assert holders == [each for each in [self.books[right]] if each is not None]

    @invariant()
    def what_is_told_is_what_is(self) -> None:
        state = self.authority.state()
        assert (state.flight_holder, state.payload_holder) == tuple(self.books[right] or NOBODY for right in Right)
        for right, candidate in ((Right.FLIGHT, state.flight_candidate), (Right.PAYLOAD, state.payload_candidate)):
            offer = self.offers.get(right)
            standing = offer is not None and self.now < offer.ends_s
            assert candidate == (offer.candidate if offer is not None and standing else NOBODY)
        self.waiting = {Right.FLIGHT: state.flight_waiting, Right.PAYLOAD: state.payload_waiting}

    @invariant()
    def hand_overs_are_listed(self) -> None:
        assert len(self.authority.handed_over) == self.handed_over


Interleavings.TestCase.settings = settings(max_examples=examples(40), stateful_step_count=30, deadline=None)
test_au_2_au_7_interleavings = Interleavings.TestCase


def one_step(machine: Interleavings, chance: random.Random) -> None:
    """One of everything that can happen, in shares in which rights do move."""
    who, other, right = chance.choice(list(ROLES)), chance.choice(list(ROLES)), chance.choice(list(Right))
    action = chance.choice(list(AuthorityAction))
    holder, offer = machine.books[right], machine.offers.get(right)
    share = chance.random()
    if share < 0.25:
        names = action in {AuthorityAction.OFFER, AuthorityAction.ACCEPT}
        machine.say(who, action, right, other if names != (chance.random() < 0.05) else NOBODY)
    elif share < 0.40:
        machine.say(who, AuthorityAction.REQUEST, right)
    elif share < 0.50 and holder is not None:
        machine.say(holder, AuthorityAction.OFFER, right, other)
    elif share < 0.70 and offer is not None:
        sender, named_holder = chance.choice([offer.candidate, who]), chance.choice([offer.holder, other])
        machine.say(sender, AuthorityAction.ACCEPT, right, named_holder)
    elif share < 0.80:
        machine.beat(holder if holder is not None and chance.random() < 0.7 else who)
    elif share < 0.95:
        machine.pass_time(chance.choice([0.0, 0.3, 1.0, 2.5, 5.0]))
    elif share < 0.97:
        machine.lose(who)
    else:
        machine.attach(who)


@pytest.mark.parametrize("seed", range(20))
def test_au_2_au_7_long_interleavings(seed: int) -> None:
    """Shrinking finds the shortest; this goes the long way round, through many hand-overs."""
    machine, chance = Interleavings(), random.Random(seed)
    for _ in range(5_000):
        one_step(machine, chance)
        machine.one_holder_or_none()
        machine.what_is_told_is_what_is()
        machine.hand_overs_are_listed()
    assert machine.handed_over > 10


# --- the deck -----------------------------------------------------------------------------------


@dataclass
class Diary(NotedVehicle):
    """What reached the vehicle, and who was let through at that moment."""

    speaker: bytes = b""
    deck: Any = None
    seen: list[tuple[Right, bytes, bytes | None]] = field(default_factory=list[tuple[Right, bytes, bytes | None]])

    def __post_init__(self) -> None:
        super().__init__()
        self.armed = True

    def _see(self, right: Right) -> None:
        self.seen.append((right, self.speaker, self.deck.authority.holder(right)))

    def command(self, code: CommandCode) -> Answer:
        self._see(Right.FLIGHT)
        return super().command(code)

    def control_camera(self, control: CameraControl) -> Answer:
        self._see(Right.PAYLOAD)
        return super().control_camera(control)

    def steer(self, sticks: Sticks) -> None:
        if sticks != Sticks(0, 0, 0, 0):
            self._see(Right.FLIGHT)


SAYINGS: Final[dict[str, tuple[ChannelId, CloudMessage]]] = {
    "land": (ChannelId.COMMAND, Command(CommandCode.LAND)),
    "photo": (ChannelId.COMMAND, CameraControl(CameraAction.TAKE_PHOTO, 0, 100)),
    "sticks": (ChannelId.CONTROL, Sticks(1, 1, 1, 1)),
    "beat": (ChannelId.CONTROL, Heartbeat(NodeState.ACTIVE, 0)),
}
said = st.tuples(st.just("say"), peers, st.sampled_from(sorted(SAYINGS)))
asked = st.tuples(st.just("ask"), peers, st.tuples(actions, rights, named))
passed = st.tuples(st.just("time"), st.just(NOBODY), st.sampled_from([0.1, 0.6, 2.0, 5.0]))
dropped = st.tuples(st.just("drop"), peers, st.none())
revoked = st.tuples(st.just("revoke"), st.sampled_from([MOBILE, OTHER]), st.none())
granted = st.tuples(st.just("ask"), peers, st.tuples(st.just(AuthorityAction.REQUEST), rights, st.just(NOBODY)))
EVENTS = st.lists(said | asked | granted | passed | dropped | revoked, max_size=40)


async def live_through(events: list[tuple[str, bytes, Any]]) -> Diary:
    """Everything that happens, at a running deck; checks what each peer is answered."""
    vehicle = Diary()
    deck = vehicle.deck = FlightDeck(vehicle, Authority(POLICY), Failsafe(FailsafeConfig(1.0, 3.0)), lambda _: None)
    seats = {key_id: deck.attach(key_id, role, lambda _: None) for key_id, role in ROLES.items()}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deck.run)
        for kind, who, what in events:
            vehicle.speaker = who
            if kind == "say":
                channel, message = SAYINGS[what]
                expires_s = trio.current_time() + 0.5 if channel is ChannelId.CONTROL else None
                reached = len(vehicle.seen)
                answer = await deck.take(seats[who], channel, message, expires_s)
                if isinstance(answer, Answer):
                    assert (answer.result is Result.DONE) == (len(vehicle.seen) == reached + 1)
            elif kind == "ask":
                await deck.take(seats[who], ChannelId.COMMAND, AuthorityRequest(*what))
            elif kind == "time":
                await trio.sleep(what)
            elif kind == "drop":
                deck.detach(seats[who])
                seats[who] = deck.attach(who, ROLES[who], lambda _: None)
            else:
                deck.forget(who)
        nursery.cancel_scope.cancel()
    return vehicle


@settings(max_examples=examples(50), deadline=None)
@given(EVENTS)
def test_au_20_never_an_accepted_command_of_a_non_holder(events: list[tuple[str, bytes, Any]]) -> None:
    vehicle = trio.run(live_through, events, clock=MockClock(autojump_threshold=0))
    for right, speaker, holder in vehicle.seen:
        assert speaker == holder, right


def test_the_properties_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deck that admits everybody is found out by the same look."""

    def admit(*_: object) -> bool:
        return True

    monkeypatch.setattr(FlightDeck, "_admits", admit)
    events: list[tuple[str, bytes, Any]] = [("say", MOBILE, "land")]
    vehicle = trio.run(live_through, events, clock=MockClock(autojump_threshold=0))
    assert vehicle.seen == [(Right.FLIGHT, MOBILE, None)]
    assert ROLES[MOBILE] is Role.MOBILE
