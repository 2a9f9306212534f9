"""Pairing as ``aerolink pair`` does it: both roles, and what the person in front of the device sees.

A pairing is stored as pending until the first session (specs/2-pairing.md), so the remote controller makes one at
once: when both commands are over, both devices are paired for good, and the link is known to work.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final, TextIO

import trio
from rich.live import Live
from rich.text import Text

from nodes.config import Config
from nodes.config.endpoint import Endpoint
from nodes.drone import Drone
from nodes.ports import PeerDirectory
from nodes.remote import RemoteController
from nodes.screen import Screen
from nodes.stores.rules import MAX_NAME_CHARS
from nodes.stores.statedir import StateDir
from nodes.trust import Stores
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import PairingClosedError, UsageError
from protocols.link.peers import PeerRecord, PeerState
from protocols.pairing import LinkingCode

_TICK_S: Final = 1.0
_FIRST_WORD_S: Final = 10.0
"""How long the drone has for its first word on the new link: with it the pairing is final (PR-31)."""


def check_name(name: str) -> None:
    """UsageError for a name that no store would keep."""
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise UsageError(f"a device name has at most {MAX_NAME_CHARS} printable characters")


class PairingScreen:
    """Speaks to a person (lines, a QR code, a countdown) or to a program (one JSON object a line)."""

    def __init__(self, out: TextIO, *, as_json: bool) -> None:
        self._out = out
        self._as_json = as_json
        self._console = Screen(file=out, highlight=False)

    def show_code(self, code: LinkingCode, endpoint: Endpoint, carrier: str, lifetime_s: float) -> None:
        """Show a linking code: here, and nowhere else."""
        if self._as_json:
            where = {"endpoint": str(endpoint), "carrier": carrier, "lifetime_s": lifetime_s}
            self._object({"event": "code", "code": code.text(), **where})
            return
        if self._console.is_terminal:
            import segno

            segno.make(code.text(), error="m", micro=False).terminal(out=self._out, compact=True)
        self._out.write(f"Linking code: {code.text()}\n")
        self._out.write(
            f"Waiting on {endpoint} ({carrier}) for {lifetime_s:.0f} s; enter the code at the other device.\n"
        )
        self._out.flush()

    def done(self, peer: PeerRecord) -> None:
        """Say who is paired now."""
        name, fingerprint = peer.name, fingerprint_text(peer.key_id)
        committed = peer.state is PeerState.PAIRED
        if self._as_json:
            described = {"name": name, "role": peer.role.name.lower(), "fingerprint": fingerprint}
            self._object({"ok": True, "peer": {**described, "state": peer.state.value}})
            return
        later = "" if committed else "; the first link will confirm it"
        called = f" ({name})" if name else ""
        self._out.write(f"Paired with {peer.role.name.lower()} {fingerprint}{called}{later}\n")
        self._out.flush()

    async def wait(self, text: str, until_s: float | None = None) -> None:
        """Show that something is waited for, and how long yet; runs until it is cancelled."""
        if self._as_json or not self._console.is_terminal or self._console.is_dumb_terminal:
            await trio.sleep_forever()
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                left_s = None if until_s is None else max(0, round(until_s - trio.current_time()))
                line = text if left_s is None else f"{text}: {left_s // 60}:{left_s % 60:02} left"
                live.update(Text(line, "dim"), refresh=True)
                await trio.sleep(_TICK_S)

    def _object(self, content: Mapping[str, object]) -> None:
        self._out.write(json.dumps(content) + "\n")
        self._out.flush()


class _Watched:
    """A peer directory that says what became of a pairing."""

    def __init__(self, directory: PeerDirectory) -> None:
        self._directory = directory
        self.paired: set[bytes] = set()
        """Who was stored as pending."""
        self.committed = trio.Event()
        """One of them is paired for good."""

    async def find(self, key_id: bytes) -> PeerRecord | None:
        return await self._directory.find(key_id)

    async def all(self) -> Sequence[PeerRecord]:
        return await self._directory.all()

    async def put(self, record: PeerRecord) -> None:
        await self._directory.put(record)
        if record.state is PeerState.PENDING:
            self.paired.add(record.key_id)
        elif record.key_id in self.paired:
            self.committed.set()

    async def remove(self, key_id: bytes) -> None:
        await self._directory.remove(key_id)

    async def confirm_counters(self, counters: Mapping[bytes, int]) -> None:
        await self._directory.confirm_counters(counters)


@asynccontextmanager
async def _open_state(config: Config) -> AsyncGenerator[StateDir]:
    state = await trio.to_thread.run_sync(partial(StateDir.open, config.node.state_dir))
    try:
        yield state
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(state.close)


async def pair_drone(config: Config, name: str, lifetime_s: float, screen: PairingScreen) -> None:
    """Show a code and wait until a remote controller has paired and made a link; PairingClosedError if none did."""
    async with _open_state(config) as state:
        peers = _Watched(state.peers)
        async with Drone(Stores(state.keys, peers, state.counters), config.link_config()) as drone:
            endpoint = await drone.listen(config.link.listen, config.link.carrier)
            code = drone.open_pairing(lifetime_s=lifetime_s)
            screen.show_code(code, endpoint, config.link.carrier, lifetime_s)
            key_id = await _first_paired(drone, peers, lifetime_s, screen)
        if key_id is None:
            raise PairingClosedError("nobody paired while the linking code was valid: run `aerolink pair` again")
        screen.done(await _named(state.peers, key_id, name))


async def _first_paired(drone: Drone, peers: _Watched, lifetime_s: float, screen: PairingScreen) -> bytes | None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(screen.wait, "waiting for the remote controller", trio.current_time() + lifetime_s)
        with trio.move_on_after(lifetime_s):
            async for link in drone.each_link():
                if link.key_id in peers.paired:
                    drone.close_pairing()
                    await link.close()  # an authentic word: with it the pairing is final at the other end too
                    break
        nursery.cancel_scope.cancel()
    return next(iter(peers.paired), None)


async def pair_rc(config: Config, name: str, code: LinkingCode, screen: PairingScreen) -> None:
    """Pair with the drone that shows ``code``, and make the first link."""
    async with _open_state(config) as state:
        peers = _Watched(state.peers)
        stores = Stores(state.keys, peers, state.counters)
        async with RemoteController(stores, config.link_config()) as rc, trio.open_nursery() as nursery:
            nursery.start_soon(screen.wait, f"pairing with the drone at {config.link.connect}")
            record = await rc.pair(code, config.link.connect, config.link.carrier)
            link = await rc.connect(record.key_id, config.link.connect, config.link.carrier)
            with trio.move_on_after(_FIRST_WORD_S):
                await peers.committed.wait()
            await link.close()
            nursery.cancel_scope.cancel()
        screen.done(await _named(state.peers, record.key_id, name))


async def _named(peers: PeerDirectory, key_id: bytes, name: str) -> PeerRecord:
    record = await peers.find(key_id)
    if record is None:
        raise UsageError("the pairing was removed meanwhile")
    if name:
        record = replace(record, name=name)
        await peers.put(record)
    return record
