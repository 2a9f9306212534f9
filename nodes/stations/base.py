"""What all stations have in common: they say what happens, count their links, and tell of alarms."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from nodes.link import Link
from nodes.node import Node
from nodes.stations.keep import serve_link, until_down
from nodes.stations.notes import (
    Line,
    LinkIsDown,
    LinkIsMissed,
    LinkIsUp,
    LinkMeter,
    RightsTold,
    Say,
    counts_of,
    say_alarms,
)
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import AerolinkError, LocalError
from protocols.events import Alarm, AlarmKind, Sendable, SendCommand
from protocols.guards.ratelimit import SourceLimiter
from specs.airlink.authority import AuthorityState
from specs.airlink.numbers import NOBODY
from specs.registry import ChannelId, CloseCode, Role

METER_S: Final = 0.2
"""Time between two meters."""

_RIGHTS_PER_S, _RIGHTS_AT_ONCE = 1.0, 6.0
SUSPECT_S: Final = 1.0
"""Alarms about a relay come no more often."""
RELAY: Final = "relay"
"""What such a link is carried by, in notes."""

Task = Callable[[Link], Awaitable[object]]


class Station:
    """Base of the four."""

    def __init__(self, node: Node, say: Say, name: str = "") -> None:
        self.say: Final = say
        """Told everything that happens."""
        self.name: Final = name or node.role.name.lower()
        """What the station is called in notes."""
        self._node = node
        self._times: Counter[str] = Counter()
        self._rights: dict[bytes, tuple[bytes, bytes]] = {}
        self._rights_told = SourceLimiter(_RIGHTS_PER_S, _RIGHTS_AT_ONCE)
        self._told = 0

    def tell(self, text: str) -> None:
        """Say that something has happened."""
        self.say(Line(self.name, text))

    def misses(self, link: str, key_id: bytes, role: Role) -> Callable[[str], None]:
        """Return what says why a link to a node is not there."""
        return lambda why: self.say(LinkIsMissed(self.name, link, fingerprint_text(key_id), role.name.lower(), why))

    async def watch(self) -> None:
        """Tell the node's alarms, for ever."""
        try:
            while True:
                self._tell_alarms()
                await trio.sleep(METER_S)
        finally:
            self._tell_alarms()

    def _tell_alarms(self) -> None:
        self._told = say_alarms(self._node, self.name, self.say, self._told)

    async def serve(self, link: Link, name: str, carrier: str, *tasks: Task) -> None:
        """Run tasks on a link until it is down, and meter it."""
        up = link.up
        peer = fingerprint_text(link.key_id)
        role = link.role.name.lower()
        self.say(LinkIsUp(self.name, up.suite, peer, up.handshake_s * 1_000, name, carrier, role))
        self._times[name] += 1
        running: list[Task] = [*tasks, partial(self._meter, name, self._times[name])]
        if carrier == RELAY:
            running.append(self._suspect)

        async def all_of_them(link: Link) -> None:
            async with trio.open_nursery() as nursery:
                for task in running:
                    nursery.start_soon(self._guarded, name, task, link)

        try:
            await serve_link(link, all_of_them)
        finally:
            self._say_meter(name, self._times[name], link)
            self.say(LinkIsDown(self.name, name, peer, link.down.reason.value if link.down else "closed"))

    async def _guarded(self, name: str, task: Task, link: Link) -> None:
        """Run a task; what goes wrong in it ends this link and nothing else, whoever brought it about."""
        try:
            await until_down(task, link)
        except* AerolinkError as errors:
            self.tell(f"{name}: the link is given up: {_first_of(errors)}")
            await link.close(CloseCode.GOING_AWAY)

    async def _suspect(self, link: Link) -> None:
        """Tell when the relay brings what its far end did not send, or not again."""
        told = 0
        try:
            while True:
                await trio.sleep(SUSPECT_S)
                told = self._tell_tampering(link, told)
        finally:
            self._tell_tampering(link, told)

    def _tell_tampering(self, link: Link, told: int) -> int:
        counters = link.stats().link
        count = counters.failed_opens + counters.replays
        if count > told:
            what = f"{counters.failed_opens} altered or forged, {counters.replays} replayed"
            who = f"{link.role.name.lower()} {link.key_id.hex()}"
            self._node.raise_alarm(Alarm(AlarmKind.RELAY_TAMPERS, f"datagrams as if from the {who}: {what}"))
        return count

    def refuse_log(self, link: Link, why: str) -> None:
        """Tell the operator of a log that a neighbour should not have sent."""
        who = f"{link.role.name.lower()} {link.key_id.hex()}"
        self._node.raise_alarm(Alarm(AlarmKind.LOG_REFUSED, f"from the {who}: {why}"))

    def tell_rights(self, drone_id: bytes, message: object) -> None:
        """Say who has the rights to a drone when that is what it tells, and has changed.

        Not for each change of one that changes them all the time: what stands in the end is told by the next state,
        which comes once a second (AU-14).
        """
        if not isinstance(message, AuthorityState):
            return
        holders = message.flight_holder, message.payload_holder
        if self._rights.get(drone_id) != holders and self._rights_told.allow(drone_id, trio.current_time()):
            self._rights[drone_id] = holders
            flight, payload = ("" if holder == NOBODY else fingerprint_text(holder) for holder in holders)
            self.say(RightsTold(self.name, fingerprint_text(drone_id), flight, payload))

    async def _meter(self, name: str, times: int, link: Link) -> None:
        while True:
            self._say_meter(name, times, link)
            await trio.sleep(METER_S)

    def _say_meter(self, name: str, times: int, link: Link) -> None:
        stats = link.stats()
        rtt_ms = None if stats.rtt_s is None else stats.rtt_s * 1_000
        self.say(
            LinkMeter(
                self.name,
                name,
                counts_of(stats.channels),
                stats.link.rekeys,
                rtt_ms,
                times,
                fingerprint_text(link.key_id),
            )
        )


def _first_of(errors: BaseExceptionGroup[AerolinkError]) -> BaseException:
    """Return an error of a group, of whatever depth."""
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


def send_or_drop(link: Link, message: Sendable) -> None:
    """Send what is worth nothing later: no room, or no link any more, and it is dropped."""
    try:
        link.send_now(message)
    except LocalError:
        return


def answer_to(link: Link, event_id: int, channel: ChannelId, data: bytes) -> None:
    """Answer a request; who asked on a link that has gone asks again."""
    send_or_drop(link, SendCommand(channel, data, event_id))
