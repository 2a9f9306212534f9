"""Four nodes from their configuration files, set up by persons with codes and a token, over real sockets."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pytest
import trio

from nodes.config import parse
from nodes.flight import ModelFlight, tlog_record
from nodes.pki.folder import AuthorityFolder
from nodes.stations.notes import Line, LinkIsUp, Note
from nodes.stations.openings import PKI
from nodes.working import Errands, work
from protocols.errors import ConfigError
from protocols.pairing import LinkingCode
from specs.registry import Role
from tests.live.kit import DEADLINE_S, state_with_key, until

FRAMES = list(takewhile(lambda frame: frame.time_s < 0.5, ModelFlight().frames()))


@dataclass
class Site:
    """Their folders, what was said, and which codes were shown."""

    folder: Path
    notes: list[Note] = field(default_factory=list[Note])
    codes: dict[tuple[str, Role], LinkingCode] = field(default_factory=dict[tuple[str, Role], LinkingCode])
    ids: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def make(self) -> None:
        for role in ("drone", "rc", "mobile", "cloud"):
            state_with_key(self.folder / role).close()

    @asynccontextmanager
    async def at_work(self, role: str, text: str, errands: Errands | None = None) -> AsyncGenerator[None]:
        """Run a node; it ends with the block."""
        config = parse(f'[node]\nrole = "{role}"\nstate_dir = "{role}"\n{text}'.encode(), self.folder / "node.toml")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, config, errands or Errands(), self.notes.append)
            yield
            nursery.cancel_scope.cancel()

    def showing(self, role: str, *peers: Role) -> Errands:
        """Show codes."""
        return Errands(peers, on_code=lambda peer, code, own: self._see(role, peer, code, own))

    def _see(self, role: str, peer: Role, code: LinkingCode, own: bytes) -> None:
        self.codes[role, peer] = code
        self.ids[role] = own

    def lines(self, node: str, words: str) -> list[str]:
        return [note.text for note in self.notes if isinstance(note, Line) and note.node == node and words in note.text]

    async def told(self, node: str, words: str, times: int = 1) -> str:
        """Wait until something is told, and return it."""
        await until(lambda: len(self.lines(node, words)) >= times)
        return self.lines(node, words)[-1]

    async def up(self, node: str, link: str, times: int = 1) -> None:
        await until(lambda: self.ups(node, link) >= times)

    def ups(self, node: str, link: str) -> int:
        return len(
            [note for note in self.notes if isinstance(note, LinkIsUp) and (note.node, note.link) == (node, link)]
        )


def address(line: str, after: str = " on ") -> str:
    """The address that a line tells."""
    return line.rsplit(after, 1)[1].split(" ", maxsplit=1)[0].rstrip(",")


def token_of(site: Site) -> str:
    """What ``aerolink cloud token`` gives, beside a running cloud."""
    with AuthorityFolder.open_beside(site.folder / "cloud" / PKI, time.time()) as folder:
        return folder.make_token("mobile", 3_600, time.time()).text()


async def test_persons_with_codes_set_the_chain_up_and_it_finds_itself_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.make()
    log = tmp_path / "flight.tlog"
    log.write_bytes(b"".join(tlog_record(round(frame.time_s * 1e6), frame.data) for frame in FRAMES))
    drone_text = f'[link]\nlisten = "127.0.0.1:0"\n[flight]\nreplay = "{log}"\n'
    cloud_text = '[cloud]\nlisten = "127.0.0.1:0"\nenrolment = "127.0.0.1:0"\n'
    with trio.fail_after(2 * DEADLINE_S):
        async with site.at_work("drone", drone_text, site.showing("drone", Role.RC, Role.MOBILE, Role.CLOUD)):
            drone = address(await site.told("drone", "listens on"))
            code, drone_id = site.codes["drone", Role.CLOUD], site.ids["drone"]
            async with site.at_work("cloud", cloud_text, Errands((), Role.DRONE, code, drone_id)):
                await rest(site, drone, await site.told("cloud", "serves its devices"))


async def rest(site: Site, drone: str, cloud_line: str) -> None:
    cloud = cloud_line.split(" on ")[1].split(",", maxsplit=1)[0]
    shows = site.showing("rc", Role.MOBILE)
    errands = Errands(shows.shows, Role.DRONE, site.codes["drone", Role.RC], on_code=shows.on_code)
    rc_text = f'[link]\nconnect = "{drone}"\n[ground]\nlisten = "127.0.0.1:0"\n'
    async with site.at_work("rc", rc_text, errands):
        ground = address(await site.told("rc", "listens for mobiles"))
        await site.up("drone", "drone-rc")
        text = f'[ground]\nconnect = "{ground}"\n[cloud]\nconnect = "{cloud}"\nenrolment = "{address(cloud_line)}"\n'
        first = Errands((), Role.RC, site.codes["rc", Role.MOBILE], None, token_of(site))
        async with site.at_work("mobile", text, first):
            await site.up("mobile", "rc-mobile")
            await site.up("cloud", "cloud-drone")
            stored = await site.told("cloud", "verified, unsealed, stored")
            assert stored.endswith(f"{len(FRAMES)} messages")
            await site.told("drone", "handed over")
        assert site.ups("mobile", "mobile-drone") == 0
        async with site.at_work("mobile", text, Errands((), Role.DRONE, site.codes["drone", Role.MOBILE])):
            await site.up("drone", "mobile-drone")
        async with site.at_work("mobile", text):
            await site.up("drone", "mobile-drone", times=2)
            await site.up("mobile", "mobile-cloud", times=3)
    assert len(site.lines("cloud", "verified, unsealed, stored")) == 1
    secrets = [code.text() for code in site.codes.values()]
    assert not any(secret in repr(note) for note in site.notes for secret in secrets)


@pytest.mark.parametrize(
    ("role", "more", "words"),
    [
        ("rc", "", "start it once with --pair drone"),
        ("mobile", "[cloud]\nenabled = false\n", "start it once with --pair rc"),
    ],
)
async def test_a_node_that_was_never_paired_says_what_to_do(tmp_path: Path, role: str, more: str, words: str) -> None:
    site = Site(tmp_path)
    site.make()
    config = parse(f'[node]\nrole = "{role}"\nstate_dir = "{role}"\n{more}'.encode(), tmp_path / "node.toml")
    with (
        trio.fail_after(DEADLINE_S),
        pytest.RaisesGroup(pytest.RaisesExc(ConfigError, match=words), flatten_subgroups=True, allow_unwrapped=True),
    ):
        await work(config, Errands(), site.notes.append)
