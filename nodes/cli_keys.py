"""``aerolink keys ...``: the node's own keys and the devices that it is paired with.

Each function writes to ``out`` and returns the exit code: 0, or 1 after one line on ``err`` that says what to
do (with ``as_json``, an object with the single key ``error`` on ``out`` instead). Private keys and pair
secrets are never written.
"""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from rich.table import Table
from rich.text import Text

from nodes.config.reader import one_line
from nodes.screen import Screen
from nodes.stores.rules import LOST_COUNTER
from nodes.stores.statedir import StateDir
from protocols.crypto.dh import DH_FUNCTIONS, StaticKey
from protocols.crypto.fingerprint import fingerprint_text, key_id_of, match_fingerprint
from protocols.crypto.keyfile import public_key_pem
from protocols.crypto.suites import suite_by_name
from protocols.errors import AerolinkError, ConfigError, UnsupportedError
from protocols.link.peers import PeerRecord, PeerState


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command speaks, and to whom."""

    out: TextIO
    """For what was asked."""
    err: TextIO
    """For the line that says what went wrong."""
    as_json: bool = False
    """True if a program reads ``out``: one JSON object."""

    def tell(self, person: str, program: dict[str, object]) -> None:
        """Write one line for a person, or an object for a program."""
        self.out.write(f"{json.dumps(program) if self.as_json else one_line(person)}\n")

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        """Write a table; what stands in it is text, never markup."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, no_wrap=column in {"fingerprint", "key id"}, overflow="fold")
        for row in rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        # Whoever pipes the table wants its lines whole.
        Screen(file=self.out, width=None if self.out.isatty() else 250).print(table)

    def run(self, action: Callable[[], None]) -> int:
        """Return the exit code of an action."""
        try:
            action()
        except AerolinkError as error:
            line = one_line(str(error))
            if self.as_json:
                self.out.write(f"{json.dumps({'error': line})}\n")
            else:
                self.err.write(f"error: {line}\n")
            return 1
        return 0


def dh_of(name: str) -> str:
    """Return the DH function that a user names, by its own name or by that of a suite; UnsupportedError."""
    own = {dh.lower(): dh for dh in DH_FUNCTIONS}
    try:
        return own.get(name.lower()) or suite_by_name(name).dh
    except UnsupportedError:
        kinds = ", ".join(DH_FUNCTIONS)
        line = f"there are no keys of kind {name!r}; there are {kinds}, and the name of a suite will do"
        raise UnsupportedError(line) from None


def generate(state_dir: Path, name: str, output: Output, *, force: bool = False) -> int:
    """Make the node's static key for a DH function or suite; ``force`` replaces one that exists."""

    def action() -> None:
        dh = dh_of(name)
        with StateDir.open(state_dir, create=True) as state:
            key = state.key_files.generate(dh, force=force)
            file = state.key_files.path(dh)
        output.tell(f"{file}: new {dh} key {_fingerprint(key)}", {"file": str(file), **_described(key)})

    return output.run(action)


def show(state_dir: Path, name: str | None, output: Output) -> int:
    """Write the fingerprints of the node's own keys, or of one; works beside a running node."""

    def action() -> None:
        keys = _own_keys(state_dir, name)
        if output.as_json:
            output.tell("", {"keys": [_described(key) for key in keys]})
        else:
            output.table(
                ["key", "fingerprint", "key id"], [[key.dh, _fingerprint(key), _key_id(key).hex()] for key in keys]
            )

    return output.run(action)


def export(state_dir: Path, name: str, output: Output) -> int:
    """Write the public half of a key as PEM; works beside a running node."""

    def action() -> None:
        (key,) = _own_keys(state_dir, name)
        pem = public_key_pem(key.dh, key.public).decode("ascii")
        if output.as_json:
            output.tell("", {**_described(key), "public_key_pem": pem})
        else:
            output.out.write(pem)

    return output.run(action)


def list_peers(state_dir: Path, output: Output) -> int:
    """Write the paired devices; works beside a running node."""

    def action() -> None:
        with StateDir.open(state_dir, read_only=True) as state:
            peers = sorted(state.peer_files.all(), key=lambda peer: (peer.name, peer.key_id))
        if output.as_json:
            output.tell("", {"peers": [_described_peer(peer) for peer in peers]})
        elif not peers:
            output.tell("no paired devices", {})
        else:
            rows = [[p.name or "-", p.role.name.lower(), _state(p), fingerprint_text(p.key_id)] for p in peers]
            output.table(["name", "role", "state", "fingerprint"], rows)

    return output.run(action)


def revoke(state_dir: Path, fingerprint: str, output: Output) -> int:
    """Mark a paired device revoked, by (the beginning of) its fingerprint; the node must not be running."""

    def action() -> None:
        with StateDir.open(state_dir) as state:
            peers = {peer.key_id: peer for peer in state.peer_files.all()}
            peer = peers[match_fingerprint(fingerprint, peers)]
            if peer.state is not PeerState.REVOKED:
                peer = replace(peer, state=PeerState.REVOKED)
                state.peer_files.put(peer)
        person = f"{fingerprint_text(peer.key_id)} ({peer.name or 'no name'}) is revoked"
        output.tell(person, _described_peer(peer))

    return output.run(action)


def forget(state_dir: Path, fingerprint: str, output: Output) -> int:
    """Forget a paired or revoked device, so that it may be paired again; the node must not be running."""

    def action() -> None:
        with StateDir.open(state_dir) as state:
            peers = {peer.key_id: peer for peer in state.peer_files.all()}
            peer = peers[match_fingerprint(fingerprint, peers)]
            state.peer_files.remove(peer.key_id)
        person = f"{fingerprint_text(peer.key_id)} ({peer.name or 'no name'}) is forgotten"
        output.tell(person, {**_described_peer(peer), "state": "forgotten"})

    return output.run(action)


def _own_keys(state_dir: Path, name: str | None) -> list[StaticKey]:
    with StateDir.open(state_dir, read_only=True) as state:
        files = state.key_files
        names = [dh for dh in DH_FUNCTIONS if files.exists(dh)] if name is None else [dh_of(name)]
        if not names:
            advice = f"`aerolink keys generate --state-dir {shlex.quote(str(state_dir))}` makes one"
            raise ConfigError(f"there is no key in {state_dir}: {advice}")
        return [files.load(dh) for dh in names]


def _fingerprint(key: StaticKey) -> str:
    return fingerprint_text(_key_id(key))


def _key_id(key: StaticKey) -> bytes:
    return key_id_of(key.dh, key.public)


def _described(key: StaticKey) -> dict[str, object]:
    return {"dh": key.dh, "fingerprint": _fingerprint(key), "key_id": _key_id(key).hex()}


def _described_peer(peer: PeerRecord) -> dict[str, object]:
    return {
        "name": peer.name,
        "role": peer.role.name.lower(),
        "state": peer.state.value,
        "dh": peer.dh,
        "fingerprint": fingerprint_text(peer.key_id),
        "key_id": peer.key_id.hex(),
        "counter_lost": peer.initiation_counter == LOST_COUNTER,
    }


def _state(peer: PeerRecord) -> str:
    lost = peer.initiation_counter == LOST_COUNTER and peer.state is not PeerState.REVOKED
    return "pair again" if lost else peer.state.value
