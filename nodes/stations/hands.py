"""What somebody who may fly says on a link to the drone: rights, heartbeats, requests."""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from nodes.link import Link
from nodes.stations.base import send_or_drop
from nodes.wakeup import Wakeup
from protocols.errors import MalformedError
from protocols.events import SendControl
from protocols.messages import MessageTable
from specs.airlink.authority import AuthorityAction, AuthorityRequest, AuthorityState, Right
from specs.airlink.command import Answer, Result
from specs.airlink.control import Heartbeat, NodeState
from specs.airlink.numbers import NOBODY, Direction
from specs.registry import ChannelId

HEARTBEAT_S: Final = 0.1
"""AL-6 asks for 200 ms."""
SURE_S: Final = 2.0
"""What is told so long after an answer is newer than what was answered: it is told once a second (AU-14)."""


class Hands:
    """One link to the drone, in the hands of its user. Feed it what the drone tells with :meth:`see`."""

    def __init__(self, link: Link, table: MessageTable[Any], own: bytes, tell: Callable[[str], None]) -> None:
        self.requests = 0
        """Requests sent."""
        self.answers = 0
        """Requests answered."""
        self.on_seen: Callable[[object], None] = lambda _: None
        """Given everything that this drone tells, after these hands have seen it."""
        self.own: Final = own
        """Our key id on this link."""
        self.link: Final = link
        """The link."""
        self._table = table
        self._tell = tell
        self._state: AuthorityState | None = None
        self._told_s = 0.0
        self._news = Wakeup()

    def see(self, message: object) -> None:
        """Take something that the drone has told."""
        if isinstance(message, AuthorityState):
            self._state = message
            self._told_s = trio.current_time()
            self._news.set()
        self.on_seen(message)

    @property
    def drone_id(self) -> bytes:
        """Key id of the drone."""
        return self.link.key_id

    async def beat(self) -> None:
        """Send heartbeats, for ever; a link that goes down goes on without them."""
        while True:
            self.beat_once()
            await trio.sleep(HEARTBEAT_S)

    def beat_once(self) -> None:
        """Send one heartbeat."""
        time_ms = round(trio.current_time() * 1_000) & 0xFFFF_FFFF
        beat = Heartbeat(NodeState.ACTIVE, time_ms)
        send_or_drop(self.link, SendControl(ChannelId.CONTROL, self._table.encode(beat)))

    async def request(self, message: object) -> object | None:
        """Send a request, one of the user's own or another; its answer, or None for one that says nothing.

        LinkClosedError, and UsageError for what is no message of this link.
        """
        data = self._table.encode(message)
        self.requests += 1
        reply = await self.link.request(data)
        self.answers += 1
        try:
            answer: object = self._table.decode_untrusted(ChannelId.COMMAND, reply, Direction.DOWN)
        except MalformedError:
            return None
        return answer

    async def ask(self, message: object, text: str = "") -> Answer | None:
        """Send a request; the answer, or None for one that says nothing. LinkClosedError."""
        began_s = trio.current_time()
        answer = await self.request(message)
        if not isinstance(answer, Answer):
            return None
        if text:
            why = f": {answer.text}" if answer.text else ""
            result = answer.result.name.lower().replace("_", " ")
            self._tell(f"{text}: {result}{why} ({(trio.current_time() - began_s) * 1_000:.1f} ms)")
        return answer

    def used_by(self, fly: "Fly") -> Callable[[Link], Awaitable[object]]:
        """Return a task for our link: a user with these hands."""

        async def use(_: Link) -> None:
            await fly(self)

        return use

    # --- rights ---------------------------------------------------------------------------------

    @property
    def told_s(self) -> float:
        """When the drone has told last of its rights; long ago if never."""
        return self._told_s if self._state is not None else -math.inf

    def holds(self, right: Right) -> bool:
        """Whether we have a right, as the drone has told last."""
        return self.holder(right) == self.own

    def holder(self, right: Right) -> bytes:
        """Who has a right, as the drone has told last; ``NOBODY``."""
        state = self._state
        if state is None:
            return NOBODY
        return state.flight_holder if right is Right.FLIGHT else state.payload_holder

    @property
    def _changes(self) -> int | None:
        """How often the rights had changed when they were told last."""
        return None if self._state is None else self._state.changes

    def _candidate(self, right: Right) -> bytes:
        state = self._state
        if state is None:
            return NOBODY
        return state.flight_candidate if right is Right.FLIGHT else state.payload_candidate

    async def take_free(self, *rights: Right) -> None:
        """Ask for rights that nobody holds; returns when those that were granted are told to be ours."""
        while self._state is None:
            await self._news.wait()
        for right in rights:
            if self.holder(right) == NOBODY:
                answer = await self.ask(
                    AuthorityRequest(AuthorityAction.REQUEST, right), f"the {right.name.lower()} right"
                )
                if answer is not None and answer.result is Result.DONE:
                    await self._until_held(right)

    async def offer(self, right: Right, peer: bytes) -> bool:
        """Offer a right to a peer, and wait until it has it; False if it did not take it."""
        before = self._changes
        answer = await self.ask(AuthorityRequest(AuthorityAction.OFFER, right, peer))
        if answer is None or answer.result is not Result.DONE:
            return False
        sure_s = trio.current_time() + SURE_S
        stood = False
        while True:
            is_sure = self._told_s >= sure_s
            if is_sure or self._changes != before:
                if self.holder(right) == peer:
                    return True
                if self._candidate(right) == peer:
                    stood = True
                elif stood or is_sure or self.holder(right) != self.own:
                    return False
            await self._news.wait()

    async def accept(self, right: Right) -> bool:
        """Wait until a right is offered to us, and take it; True when it is told to be ours."""
        while self._candidate(right) != self.own:
            await self._news.wait()
        holder = self.holder(right)
        request = AuthorityRequest(AuthorityAction.ACCEPT, right, holder)
        self._news.is_set = False
        answer = await self.ask(request, f"accept the {right.name.lower()} right")
        if answer is None or answer.result is not Result.DONE:
            await self._news.wait()  # the offer that we saw is over: whoever asks again looks at what is told then
            return False
        await self._until_held(right)
        return True

    async def _until_held(self, right: Right) -> None:
        """Wait until a right that was given to us is told to be ours, or was again somebody else's when it was told."""
        sure_s = trio.current_time() + SURE_S
        while not self.holds(right) and self._told_s < sure_s:
            await self._news.wait()


Fly = Callable[[Hands], Awaitable[object]]
"""What a user does on each link to the drone, heartbeats included; ``Hands.beat`` alone is the least."""
