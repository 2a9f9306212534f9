"""Four nodes as processes, one of which is killed (SIGKILL) in the middle of its work, again and again.

A flight goes from the drone to the cloud by store and forward. What a hop has confirmed is there after its next start,
the flight is stored once and is the drone's, the drone gets its receipt, and every link comes back. When exactly a kill
strikes depends on the machine; what must hold does not.
"""

import json
import random
import shutil
import sys
import time
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio

from nodes.cloud.blobs import FileBlobs
from nodes.cloud.sqliterecords import SqliteRecords
from nodes.flight.container import encode_flight
from nodes.flight.source import FlightDigest, FlightFrame
from nodes.ports import LogEntry, LogState
from nodes.stations.openings import BLOBS, LOGS, OUTBOX, RECORDS
from nodes.stores.logspool import LogSpool
from nodes.stores.spoolrules import SpoolLimits
from nodes.uplink.outbox import OutboxState, ParcelKind
from nodes.uplink.outboxfile import SqliteOutbox
from protocols.link.path import GIVE_UP_S
from specs.cloudlink import UploadPhase
from tests.live.processes import Chain, provision, running, until

DEADLINE_S: Final = 90.0
"""For ``trio.fail_after``: several times what the slowest takes on a busy machine."""
DEAD_AFTER_S: Final = 2.5
LIMITS: Final = f"[limits]\nkeepalive_s = 0.4\ndead_after_s = {DEAD_AFTER_S}\n"
"""A node that is killed says no goodbye: over UDP its neighbour notices after so much silence (10 s by default)."""
OVER: Final = 2.0
RANKS: Final = [state.value for state in (LogState.RECEIVED, LogState.HANDED_OVER, LogState.ACKNOWLEDGED)]
HOPS: Final = ("drone", "rc", "mobile")
HOPS_AND_CLOUD: Final = (*HOPS, "cloud")
LINKS: Final = {
    "drone-rc": ("rc", "drone"),
    "rc-mobile": ("mobile", "rc"),
    "mobile-drone": ("mobile", "drone"),
    "cloud-drone": ("cloud", "drone"),
}
"""Name of a link -> who makes it, and who answers."""
RELAYS: Final = {"mobile-drone": ("rc",), "cloud-drone": ("rc", "mobile")}
"""Who carries a link over relays."""

Kill = tuple[str, str, float]
"""Who is killed; when so much (1.0: all) has come to ``rc``, ``mobile`` or ``cloud``."""
KILLS: Final[dict[str, tuple[Kill, ...]]] = {
    "drone": (("drone", "rc", 0.3), ("drone", "cloud", 0.3)),
    "rc": (("rc", "rc", 0.3), ("rc", "mobile", 0.3)),
    "mobile": (("mobile", "mobile", 0.3), ("mobile", "cloud", 0.4)),
    "cloud": (("cloud", "cloud", 0.4), ("cloud", "cloud", 1.0)),
    "each": (("drone", "rc", 0.3), ("rc", "mobile", 0.3), ("mobile", "cloud", 0.3), ("cloud", "cloud", 0.6)),
}
OFTEN: Final[dict[str, tuple[Kill, ...]]] = {
    "drone": tuple(("drone", where, 0.3) for where in ("rc", "rc", "mobile", "cloud", "cloud")),
    "rc": (*[("rc", "rc", fraction) for fraction in (0.2, 0.5, 0.8)], ("rc", "mobile", 0.5), ("rc", "cloud", 0.5)),
    "mobile": (("mobile", "mobile", 0.5), *[("mobile", "cloud", fraction) for fraction in (0.2, 0.4, 0.7, 1.0)]),
    "cloud": tuple(("cloud", "cloud", fraction) for fraction in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)),
}


@cache
def frames() -> list[FlightFrame]:
    """A flight that takes its time to be sent."""
    dice = random.Random(4)
    pieces = [bytes((0xFE, 200)) + dice.randbytes(206) for _ in range(1_000)]
    return [FlightFrame(number / 100, pieces[number % 1_000]) for number in range(100_000)]


# --- what the folders say -----------------------------------------------------------------------


def state_at(chain: Chain, role: str) -> str:
    """How far the log is at a hop, from the file that is replaced whole; empty: the hop has not confirmed it."""
    file = chain[role].state / LOGS / f"{chain.sealed_sha256.hex()}.json"
    return str(json.loads(file.read_text())["content"]["state"]) if file.exists() else ""


def is_kept(chain: Chain, role: str) -> bool:
    """Whether the whole log is at a hop, or was let go since the cloud has it."""
    file = chain[role].state / LOGS / f"{chain.sealed_sha256.hex()}.log"
    try:
        return file.stat().st_size == size(chain)
    except FileNotFoundError:
        return state_at(chain, role) == LogState.ACKNOWLEDGED.value


def progress(chain: Chain, where: str) -> float:
    """How much of the log has come somewhere, from 0 to 1; OVER when it was confirmed there."""
    if where == "cloud":
        return OVER if state_at(chain, "mobile") == LogState.ACKNOWLEDGED.value else told_offset(chain) / size(chain)
    if state_at(chain, where):
        return OVER
    part = chain[where].state / LOGS / f"{chain.sealed_sha256.hex()}.{size(chain)}.part"
    return part.stat().st_size / size(chain) if part.exists() else 0.0


def size(chain: Chain) -> int:
    return chain.sealed_bytes


def told_offset(chain: Chain) -> int:
    """The highest offset that the cloud has ever told the mobile."""
    notes = [note for life in chain["mobile"].lives for note in life.notes]
    return max((note["done_bytes"] for note in notes if note.get("event") == "Progress"), default=0)


def copy_of(folder: Path, name: str, scratch: Path) -> None:
    """Copy a database of a dead process, to look into without changing it."""
    scratch.mkdir(mode=0o700)
    for file in folder.glob(f"{name}*"):
        shutil.copy(file, scratch)


@dataclass
class Ledger:
    """What was acknowledged so far, and must never be lost."""

    chain: Chain
    ranks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(HOPS, -1))
    batches: dict[tuple[bytes, int], bytes] = field(default_factory=dict[tuple[bytes, int], bytes])
    """Telemetry at the cloud: (outbox, number) -> body."""

    def look(self) -> None:
        """No log has gone back to an earlier state, and whoever was told that the next has it was told the truth."""
        found = {role: state_at(self.chain, role) for role in HOPS}  # a giver is read before its taker
        for role, state in found.items():
            rank = RANKS.index(state) if state else -1
            assert rank >= self.ranks[role], f"the {role} had it {RANKS[self.ranks[role]]}, and now {state!r}"
            self.ranks[role] = rank
        for giver, taker in pairwise(HOPS):
            if found[giver] == LogState.HANDED_OVER.value:
                assert found[taker], f"the {taker} has lost what it had confirmed to the {giver}"
        for role in HOPS:
            assert not found[role] or is_kept(self.chain, role), f"the {role} has lost the content"

    async def look_at_cloud(self, scratch: Path) -> None:
        """The cloud, which is dead, has what it has told the mobile, and each batch that it had the last time."""
        told, is_stored = told_offset(self.chain), progress(self.chain, "cloud") == OVER
        copy_of(self.chain["cloud"].state, RECORDS, scratch)
        records = await SqliteRecords.open(scratch / RECORDS)
        try:
            uploads = await records.uploads()
            assert [row.offset for row in uploads if row.offset >= told] or not told
            flights = await records.flights()
            assert len(flights) <= 1
            assert flights or not is_stored
            for device in await records.devices():
                rows = await records.telemetry(device.device, 1_000_000)
                found = {(row.outbox, row.sequence): row.body for row in rows}
                assert len(found) == len(rows)
                assert self.batches.items() <= found.items()
                self.batches = found
        finally:
            await records.aclose()
            shutil.rmtree(scratch)


def has_come(chain: Chain, where: str, fraction: float) -> bool:
    return progress(chain, where) >= fraction


# --- links --------------------------------------------------------------------------------------


def came_up(chain: Chain, role: str, link: str, after_s: float) -> bool:
    """Whether this end has said that the link is up, after a time."""
    life = chain[role].now
    return any(life.began_s + at_s > after_s for at_s in life.links(link))


def is_up(chain: Chain, link: str) -> bool:
    """Whether both ends have said so since the later of them began, and the link has not ended since.

    A link over relays may outlive those. So it must be newer than all of them, or have lived on for longer than a link
    does that hears nothing, and than the change to an address that is a new flow takes (LK-83).
    """
    ends = LINKS[link]
    began_s = max(chain[role].now.began_s for role in ends)
    if not all(came_up(chain, role, link, began_s) for role in ends):
        return False
    maker = chain[ends[0]].now
    if sum(text.startswith(f"{link}: the link is down") for text in maker.texts()) == len(maker.links(link)):
        return False
    relays_began_s = max((chain[role].now.began_s for role in RELAYS.get(link, ())), default=began_s)
    is_new = all(came_up(chain, role, link, relays_began_s) for role in ends)
    return is_new or time.monotonic() > relays_began_s + DEAD_AFTER_S + GIVE_UP_S + 0.5


def has_cloud(chain: Chain) -> bool:
    mobile, cloud = chain["mobile"].now, chain["cloud"].now
    states = [text for text in mobile.texts() if text.startswith("cloud: ")]
    began_s = max(mobile.began_s, cloud.began_s)
    return states[-1:] == ["cloud: online"] and came_up(chain, "mobile", "mobile-cloud", began_s)


def all_up(chain: Chain) -> bool:
    return all(is_up(chain, link) for link in LINKS) and has_cloud(chain)


async def say_goodbye(chain: Chain) -> None:
    """End the drone in order: its word reaches the other end of each of its links, so each was alive."""
    assert chain["drone"].now.end() == 143
    others = [chain[role] for role in ("rc", "mobile", "cloud")]

    def heard(link: str) -> bool:
        maker, _ = LINKS[link]
        return f"{link}: the link is down (closed by the peer)" in chain[maker].now.texts()

    for link in ("drone-rc", "mobile-drone", "cloud-drone"):
        await until(partial(heard, link), *others)


# --- the end ------------------------------------------------------------------------------------


async def entry_at(chain: Chain, role: str) -> LogEntry:
    with LogSpool.open(chain[role].state / LOGS, SpoolLimits(10**9), create=False) as logs:
        (entry,) = await logs.all()
    return entry


async def stored_once(chain: Chain, ledger: Ledger) -> None:
    """The cloud has the flight, once, whole, and everybody knows."""
    await ledger.look_at_cloud(chain["cloud"].folder / "scratch")
    records = await SqliteRecords.open(chain["cloud"].state / RECORDS)
    try:
        (flight,) = await records.flights()
        (upload,) = await records.uploads()
        (device,) = await records.devices()
        rows = await records.telemetry(device.device, 1_000_000)
        usage = await records.usage(device.device)
    finally:
        await records.aclose()
    expected = FlightDigest.of(frames())
    assert (flight.drone, flight.flight) == (chain.drone_id, chain.flight_id)
    assert (flight.messages, flight.sha256.hex()) == (expected.messages, expected.sha256)
    assert (upload.phase, upload.offset, upload.sha256) == (UploadPhase.STORED, size(chain), chain.sealed_sha256)
    blobs = await FileBlobs.open(chain["cloud"].state / BLOBS)
    assert set(await blobs.names()) == {flight.blob, upload.upload}
    with blobs.reader(flight.blob) as read:
        assert read(0, flight.size_bytes + 1) == encode_flight(frames())
    assert (await entry_at(chain, "drone")).state is LogState.ACKNOWLEDGED
    assert (await entry_at(chain, "mobile")).state is LogState.ACKNOWLEDGED
    assert (await entry_at(chain, "rc")).state is LogState.HANDED_OVER
    assert not list((chain["drone"].state / LOGS).glob("*.log"))

    outbox, waiting = await left_in_outbox(chain)
    numbers = [row.sequence for row in rows]
    assert len({row.outbox for row in rows}) <= len(chain["mobile"].lives)  # CL-11: a name for each life, one count
    assert len(set(numbers)) == len(numbers)
    assert {*numbers, *waiting} == set(range(1, outbox.last[ParcelKind.TELEMETRY] + 1))  # none lost
    assert not outbox.dropped[ParcelKind.TELEMETRY].items
    assert sum(row.items for row in rows) > 0
    assert usage.open_uploads == 0


async def left_in_outbox(chain: Chain) -> tuple[OutboxState, list[int]]:
    """What the mobile has not been told to be at the cloud."""
    outbox = await SqliteOutbox.open(chain["mobile"].state / OUTBOX)
    try:
        waiting = await outbox.pending(ParcelKind.TELEMETRY, 1_000_000)
        return outbox.state, [parcel.sequence for parcel in waiting]
    finally:
        await outbox.aclose()


# --- the test -----------------------------------------------------------------------------------


@pytest.mark.parametrize("killed", [*[pytest.param(role, marks=pytest.mark.slow) for role in HOPS_AND_CLOUD], "each"])
async def test_nothing_acknowledged_is_lost(tmp_path: Path, killed: str) -> None:
    await go_through(tmp_path, KILLS[killed])


@pytest.mark.slow
@pytest.mark.parametrize("killed", OFTEN)
async def test_nothing_acknowledged_is_lost_when_one_is_killed_often(tmp_path: Path, killed: str) -> None:
    await go_through(tmp_path, OFTEN[killed])


async def go_through(folder: Path, kills: tuple[Kill, ...]) -> None:
    chain = await provision(folder, frames(), LIMITS)
    ledger = Ledger(chain)
    in_time = 0
    with trio.fail_after(DEADLINE_S):
        async with running(chain):
            for role, where, fraction in kills:
                await until(partial(has_come, chain, where, fraction), *chain.all())
                in_time += progress(chain, where) < OVER
                chain[role].kill()
                ledger.look()
                if role == "cloud":
                    await ledger.look_at_cloud(folder / "scratch")
                chain[role].start()
            began_s = time.monotonic()
            await until(lambda: state_at(chain, "drone") == LogState.ACKNOWLEDGED.value, *chain.all())
            receipt_s = time.monotonic() - began_s
            await until(lambda: all_up(chain), *chain.all())
            sys.stdout.write(
                f"after the last kill: receipt {receipt_s:.1f} s, links {time.monotonic() - began_s:.1f} s\n"
            )
            ledger.look()
            await say_goodbye(chain)
            for role in ("rc", "mobile", "cloud"):
                assert chain[role].now.end() == 143
            ledger.look()
            await stored_once(chain, ledger)
    assert in_time > 0, "each kill came too late to interrupt anything: the log is too small for this machine"
