"""Configurations of a topology's nodes, and provisioning over loopback: all that a person with codes would do."""

import json
import shutil
import socket
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

from nodes.config import Config, Endpoint, parse
from nodes.stores.statedir import StateDir
from nodes.topology import Topology, find, links_of, shipped
from nodes.topology import parse as parse_topology
from nodes.topology import provision as provisioning
from nodes.topology.nodeconfig import TIMES, Places, Ports, choose_ports, node_toml, write_configs
from nodes.topology.provision import ids_of, provision
from nodes.topology.run import open_place, run_topology
from nodes.topology.runner import RunOptions
from nodes.topology.view import View
from protocols.crypto.suites import SUITES
from protocols.errors import ConfigError, LinkTimeoutError
from specs.registry import Role
from tests.live.kit import DEADLINE_S
from tests.unit.topology.fakes import ids_for

QUICK: Final = SUITES[3]
"""Classical."""


def quick(name: str) -> Topology:
    topology = find(name)
    return replace(topology, topology=replace(topology.topology, suite=QUICK))


def configs_of(topology: Topology) -> dict[str, Config]:
    ports = {name: Ports(20_000 + 2 * number, 20_001 + 2 * number) for number, name in enumerate(topology.nodes)}
    places = Places(ports, ids_for(topology))
    return {
        name: parse(node_toml(topology, name, places).encode(), Path(name) / "node.toml") for name in topology.nodes
    }


@pytest.mark.parametrize("name", shipped())
def test_configurations_can_be_used_and_are_quick(name: str) -> None:
    topology = find(name)
    for node, config in configs_of(topology).items():
        assert (config.name, config.node.role) == (node, topology.nodes[node].role)
        assert config.node.state_dir == Path(node) / "state"
        assert config.limits.keepalive_s == TIMES["limits", "keepalive_s"][0]
        assert config.limits.dead_after_s == TIMES["limits", "dead_after_s"][0]
        if config.node.role is Role.DRONE:
            assert config.authority.hold_after_s == TIMES["authority", "hold_after_s"][0]
            assert config.flight.model


def test_nodes_find_each_other() -> None:
    configs = configs_of(find("swarm"))
    ids = ids_for(find("swarm"))
    assert configs["rc"].link.drones == tuple(
        (ids[name], configs[name].link.listen) for name in ("alpha", "bravo", "charlie")
    )
    assert configs["mobile"].ground.connect == configs["rc"].ground.listen
    assert configs["mobile"].cloud.connect == configs["cloud"].cloud.listen == Endpoint("127.0.0.1", 20_010)
    assert configs["mobile"].cloud.enrolment == configs["cloud"].cloud.enrolment
    assert configs["mobile"].has_cloud
    assert not configs["rc"].has_cloud
    assert (configs["rc"].pilot.plays, configs["mobile"].pilot.plays) == ("circuit", "none")


def test_a_dock_and_partners() -> None:
    assert configs_of(find("dock"))["dock"].has_cloud
    configs, ids = configs_of(find("dual")), ids_for(find("dual"))
    assert configs["left"].pilot.partner == ids["right"]
    assert configs["right"].pilot.partner == ids["left"]


def test_carrier_suite_and_pictures() -> None:
    text = """
[topology]
name = "mine"
suite = "25519_ChaChaPoly_BLAKE2s"
[nodes.d]
role = "drone"
carrier = "tcp"
video = true
[nodes.r]
role = "rc"
drones = ["d"]
"""
    configs = configs_of(parse_topology(text.encode(), "t.toml"))
    assert {config.link.carrier for config in configs.values()} == {"tcp"}
    assert {config.link.suites[0].name for config in configs.values()} == {"25519_ChaChaPoly_BLAKE2s"}
    assert configs["d"].video.enabled


def test_ports_are_free_and_different() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ports = [port for each in choose_ports(find("swarm")).values() for port in (each.main, each.enrolment)]
        assert taken.getsockname()[1] not in ports
    assert len(set(ports)) == 12
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", port))


def test_no_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(_: int) -> bool:
        return False

    monkeypatch.setattr("nodes.topology.nodeconfig._is_free", taken)
    with pytest.raises(ConfigError, match="no free ports"):
        choose_ports(find("single"))


# --- provisioning -------------------------------------------------------------------------------


def knows(topology: Topology, nodes: Path) -> set[tuple[str, str]]:
    """Who has whom among its paired devices, by name."""
    names = {key_id: name for name, key_id in ids_of(topology, nodes).items()}
    found: set[tuple[str, str]] = set()
    for name in topology.nodes:
        with StateDir.open(nodes / name / "state") as state:
            found |= {(name, names[peer.key_id]) for peer in state.peer_files.all()}
    return found


@pytest.mark.parametrize("name", ["dual", "dock"])
async def test_who_has_a_link_knows_the_other_and_nobody_else(name: str, tmp_path: Path) -> None:
    topology, told = quick(name), list[str]()
    with trio.fail_after(DEADLINE_S):
        nodes = await provision(topology, tmp_path, told.append)
    ends = {(link.maker, link.answerer) for link in links_of(topology) if link.carrier != "https"}
    assert knows(topology, nodes) == ends | {(answerer, maker) for maker, answerer in ends}
    assert len(told) == len(links_of(topology))
    for node, each in topology.nodes.items():
        if each.cloud:
            assert f"{node} enrolled at {each.cloud}" in told
    assert {path.name for path in nodes.iterdir()} == {*topology.nodes, "topology.json"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in nodes.iterdir() if path.is_dir())


@pytest.fixture
async def pair(tmp_path: Path) -> Path:
    """A folder in which `dual` was provisioned."""
    with trio.fail_after(DEADLINE_S):
        await provision(quick("dual"), tmp_path, lambda _: None)
    return tmp_path


async def test_a_second_run_finds_its_nodes(pair: Path) -> None:
    before, told = ids_of(quick("dual"), pair / "nodes"), list[str]()
    assert await provision(quick("dual"), pair, told.append) == pair / "nodes"
    assert told == [f"has its nodes already: {pair / 'nodes'}"]
    assert ids_of(quick("dual"), pair / "nodes") == before
    places = Places(choose_ports(quick("dual")), before)
    write_configs(quick("dual"), pair / "nodes", places)
    assert f"127.0.0.1:{places.ports['drone'].main}" in (pair / "nodes" / "left" / "node.toml").read_text()


async def test_the_folder_of_another_topology_is_left_alone(pair: Path) -> None:
    with pytest.raises(ConfigError, match="is of another topology, or this one has changed: name another folder"):
        await provision(quick("single"), pair, lambda _: None)
    (pair / "nodes" / "topology.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match="name another folder"):
        await provision(quick("dual"), pair, lambda _: None)
    (pair / "nodes" / "topology.json").unlink()
    with pytest.raises(ConfigError, match="is not of a topology"):
        await provision(quick("dual"), pair, lambda _: None)
    assert (pair / "nodes" / "drone" / "state").is_dir()


async def test_what_was_half_done_is_begun_anew(tmp_path: Path) -> None:
    topology = quick("dual")
    with trio.move_on_after(DEADLINE_S) as scope:
        await provision(topology, tmp_path, lambda _: scope.cancel())  # the first link is up
    assert scope.cancelled_caught
    assert not (tmp_path / "nodes").exists()
    with trio.fail_after(DEADLINE_S):
        await provision(topology, tmp_path, lambda _: None)
    assert not (tmp_path / "nodes.making").exists()


async def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    """The second would overwrite the ports of the first, and sweep away what it is making."""
    folder = tmp_path / "new"
    with open_place(folder, print) as first:
        assert first == folder
        with pytest.raises(ConfigError, match="is in use by another run: end that one first"):
            await run_topology(quick("dual"), folder, RunOptions(1), View())
    with open_place(folder, print):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used: File exists"), open_place(tmp_path / "file", print):
        pass


def test_a_temporary_folder_that_stays_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There are keys in it."""
    told: list[str] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_place(None, told.append) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder.exists(), told) == (False, [])

    def refuses(_: str, **__: object) -> None: ...

    monkeypatch.setattr(shutil, "rmtree", refuses)
    with open_place(None, told.append) as folder:
        pass
    assert told == [f"{folder} could not be removed, and there are keys in it: remove it"]


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made: Not a directory"):
        await provision(quick("dual"), tmp_path / "file", lambda _: None)


async def test_a_link_that_does_not_come_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "_STEP_S", 0.0)
    with pytest.raises(ExceptionGroup) as error:
        await provision(quick("dual"), tmp_path, lambda _: None)
    assert error.group_contains(LinkTimeoutError, match="provisioning: drone shows no linking code in 0 s")
    shutil.rmtree(tmp_path / "nodes.making")
