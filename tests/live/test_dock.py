"""A dock from its configuration file, set up by persons: two drones, a cloud of its own, no mobile; real sockets."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pytest
import trio

from nodes.cloud.sqliterecords import SqliteRecords
from nodes.config import parse
from nodes.flight import ModelFlight, tlog_record
from nodes.pki.folder import AuthorityFolder
from nodes.stations.notes import Line, LinkIsUp, Note
from nodes.stations.openings import PKI, RECORDS
from nodes.working import Errands, work
from protocols.crypto.fingerprint import fingerprint_text, key_id_of
from protocols.errors import ConfigError
from protocols.pairing import LinkingCode
from specs.registry import Role
from tests.live.kit import DEADLINE_S, state_with_key, until

FRAMES = list(takewhile(lambda frame: frame.time_s < 0.3, ModelFlight().frames()))
ROLES = {"north": "drone", "south": "drone", "dock": "rc", "cloud": "cloud"}


@dataclass
class Site:
    """Nodes by their names, what they said, and codes as a person would carry them."""

    folder: Path
    notes: list[Note] = field(default_factory=list[Note])
    codes: dict[tuple[str, Role], LinkingCode] = field(default_factory=dict[tuple[str, Role], LinkingCode])
    ids: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def make(self) -> None:
        for name in ROLES:
            with state_with_key(self.folder / name) as state:
                key = state.key_files.load("P256")
                self.ids[name] = key_id_of(key.dh, key.public)

    @asynccontextmanager
    async def at_work(self, name: str, text: str, errands: Errands | None = None) -> AsyncGenerator[None]:
        """Run a node; it ends with the block."""
        head = f'[node]\nrole = "{ROLES[name]}"\nname = "{name}"\nstate_dir = "{name}"\n'
        config = parse(f"{head}{text}".encode(), self.folder / "node.toml")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, config, errands or Errands(), self.notes.append)
            yield
            nursery.cancel_scope.cancel()

    def showing(self, name: str, *peers: Role) -> Errands:
        """Show codes."""

        def see(peer: Role, code: LinkingCode, own: bytes) -> None:
            assert own == self.ids[name]
            self.codes[name, peer] = code

        return Errands(peers, on_code=see)

    def lines(self, node: str, words: str) -> list[str]:
        return [note.text for note in self.notes if isinstance(note, Line) and note.node == node and words in note.text]

    async def told(self, node: str, words: str, times: int = 1) -> str:
        """Wait until something is told, and return it."""
        await until(lambda: len(self.lines(node, words)) >= times)
        return self.lines(node, words)[-1]

    async def up(self, node: str, link: str, peer: str) -> None:
        """Wait until a node has a link to another."""
        who = fingerprint_text(self.ids[peer]) if peer in self.ids else ""
        await until(
            lambda: any(
                (note.node, note.link) == (node, link) and who in note.peer
                for note in self.notes
                if isinstance(note, LinkIsUp)
            )
        )


def token_of(site: Site) -> str:
    """What ``aerolink cloud token`` gives, beside a running cloud."""
    with AuthorityFolder.open_beside(site.folder / "cloud" / PKI, time.time()) as folder:
        return folder.make_token("dock", 3_600, time.time()).text()


def address(line: str, after: str = " on ") -> str:
    """The address that a line tells."""
    return line.rsplit(after, 1)[1].split(" ", maxsplit=1)[0].rstrip(",")


@asynccontextmanager
async def two_drones(site: Site) -> AsyncGenerator[tuple[str, str]]:
    """Both show codes for a remote controller and for a cloud; where they are."""
    log = site.folder / "flight.tlog"
    log.write_bytes(b"".join(tlog_record(round(frame.time_s * 1e6), frame.data) for frame in FRAMES))
    text = f'[link]\nlisten = "127.0.0.1:0"\n[flight]\nreplay = "{log}"\n'
    async with (
        site.at_work("north", text, site.showing("north", Role.RC, Role.CLOUD)),
        site.at_work("south", text, site.showing("south", Role.RC, Role.CLOUD)),
    ):
        yield address(await site.told("north", "listens on")), address(await site.told("south", "listens on"))


async def test_a_dock_brings_its_drones_to_its_cloud_and_the_cloud_to_its_drones(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.make()
    cloud_text = '[cloud]\nlisten = "127.0.0.1:0"\nenrolment = "127.0.0.1:0"\n'
    with trio.fail_after(2 * DEADLINE_S):
        async with two_drones(site) as (north, south):
            names = {"north": north, "south": south}
            drones = ", ".join(f'"{site.ids[name].hex()}@{where}"' for name, where in names.items())
            errands = Errands((), Role.DRONE, site.codes["north", Role.CLOUD], site.ids["north"])
            async with site.at_work("cloud", cloud_text, errands):
                served = await site.told("cloud", "serves its devices")
                cloud = served.split(" on ")[1].split(",", maxsplit=1)[0]
                text = (
                    f'[ground]\nlisten = "127.0.0.1:0"\n[cloud]\nenabled = true\nconnect = "{cloud}"\n'
                    f'enrolment = "{address(served)}"\n[link]\ndrones = [{drones}]\n'
                )
                first = Errands((), Role.DRONE, site.codes["north", Role.RC], None, token_of(site))
                async with site.at_work("dock", f'{text}connect = "{north}"\n', first):
                    await site.up("dock", "rc-cloud", "")
                    assert site.ids["south"].hex() in await site.told("dock", "is not paired: it is left alone")
                    await site.up("cloud", "cloud-drone", "north")
                second = Errands((), Role.DRONE, site.codes["south", Role.RC])
                async with site.at_work("dock", f'{text}connect = "{south}"\n', second):
                    await site.up("dock", "drone-rc", "south")
            await rest(site, cloud_text.replace("127.0.0.1:0", cloud, 1), text)


async def rest(site: Site, cloud_text: str, dock_text: str) -> None:
    """Everything is paired but cloud and second drone; all of it begins again."""
    errands = Errands((), Role.DRONE, site.codes["south", Role.CLOUD], site.ids["south"])
    stored = len(site.lines("cloud", "verified, unsealed, stored"))
    del site.notes[:]
    async with site.at_work("cloud", cloud_text, errands), site.at_work("dock", dock_text):
        for drone in ("north", "south"):
            await site.up("dock", "drone-rc", drone)
            await site.up("cloud", "cloud-drone", drone)
            await site.up(drone, "cloud-drone", "cloud")
        await site.told("cloud", "verified, unsealed, stored", 2 - stored)
        await site.told("dock", "stored at the cloud")
    records = await SqliteRecords.open(site.folder / "cloud" / RECORDS)
    try:
        flights = await records.flights()
    finally:
        await records.aclose()
    assert {flight.drone for flight in flights} == {site.ids["north"], site.ids["south"]}


@pytest.mark.parametrize(
    ("drones", "words"),
    [
        ([], "paired with 2 drones: give each an address"),
        (["f" * 32], 'none of the "drones" in'),
    ],
)
async def test_a_controller_whose_drones_cannot_be_found_says_what_to_do(
    tmp_path: Path, drones: list[str], words: str
) -> None:
    site = Site(tmp_path)
    site.make()
    named = ", ".join(f'"{each}@127.0.0.1:9"' for each in drones)
    text = f'[ground]\nlisten = "127.0.0.1:0"\n[link]\ndrones = [{named}]\n' if drones else ""
    with trio.fail_after(DEADLINE_S):
        async with two_drones(site) as wheres:
            for name, where in zip(("north", "south"), wheres, strict=True):
                errands = Errands((), Role.DRONE, site.codes[name, Role.RC])
                more = f'[ground]\nlisten = "127.0.0.1:0"\n[link]\nconnect = "{where}"\n'
                more += f'drones = ["{site.ids[name].hex()}@{where}"]\n'
                async with site.at_work("dock", more, errands):
                    await site.up("dock", "drone-rc", name)
        with pytest.RaisesGroup(
            pytest.RaisesExc(ConfigError, match=words), flatten_subgroups=True, allow_unwrapped=True
        ):
            async with site.at_work("dock", text):
                await trio.sleep_forever()
