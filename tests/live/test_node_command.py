"""``aerolink node`` as a person runs it: processes, codes and a token over stdin, one line for each mistake.

Mistakes that need nobody else are made in this process: how a process ends is seen with those that do.

What the command line refuses before a node begins: ``tests/unit/test_cli_node.py``.
"""

import json
import re
import signal
import socket
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from nodes.pki.folder import AuthorityFolder
from nodes.stations.openings import PKI
from protocols.pairing import LinkingCode
from tests.conftest import require_or_skip
from tests.live.commands import run_here
from tests.live.kit import DEADLINE_S, one_line, state_with_key
from tests.live.processes import (
    COMMAND,
    DH,
    Node,
    Ports,
    configure,
    introduce,
    shown_if_failed,
    until,
)

PROC: Final = Path("/proc")
SECRET_LIKE: Final = re.compile(r"\b(?:[0-9A-HJKMNP-TV-Z]{4}-){6,}[0-9A-HJKMNP-TV-Z]{4}\b")
"""A linking code or a token."""
NOBODY: Final = LinkingCode(bytes(range(16)))
"""A code that is well-formed, and nobody's."""


def keyed(nodes: dict[str, Node]) -> dict[str, Node]:
    """Give each node its key."""
    for node in nodes.values():
        state_with_key(node.state, DH).close()
    return nodes


def paired(nodes: dict[str, Node]) -> dict[str, Node]:
    """Let all know each other; nobody is enrolled."""
    states = {role: state_with_key(node.state, DH) for role, node in nodes.items()}
    introduce(states)
    for state in states.values():
        state.close()
    return nodes


@pytest.fixture
def ports() -> Ports:
    return Ports.free()


@pytest.fixture
def nodes(tmp_path: Path, ports: Ports) -> dict[str, Node]:
    return configure(tmp_path, ports)


def errors_of(node: Node) -> str:
    """The one line that it has ended with."""
    errors = node.now.errors
    assert errors.startswith("aerolink: "), errors
    assert errors.count("\n") == 1
    return errors


def check_end(last: Any, errors: str, code: int) -> str:
    """Look at the last line of JSON and at the one line on stderr; return what they say."""
    assert errors.startswith("aerolink: "), errors
    assert errors.count("\n") == 1
    text = errors.removeprefix("aerolink: ").removesuffix("\n")
    assert (last["ok"], last["error"]["message"], last["error"]["exit_code"]) == (False, text, code)
    return one_line(RuntimeError(text))


def fails_here(node: Node, *options: str, code: int) -> str:
    """Run a node, in this process, that is to end by itself; return its one line."""
    done = run_here("node", node.role, "--config", node.config, *options, "--json")
    assert done.code == code, done
    return check_end(json.loads(done.out.splitlines()[-1]), done.err, code)


async def fails(node: Node, *options: str, typed: str = "", code: int) -> str:
    """Run a node, in a process of its own, that is to end by itself; return its one line."""
    with shown_if_failed(node), trio.fail_after(DEADLINE_S):
        life = node.start(*options, typed=typed)
        await until(lambda: not life.is_running)
        assert life.process.returncode == code
    assert not typed.strip() or typed.strip() not in life.output + life.errors
    return check_end(life.notes[-1], life.errors, code)


# --- mistakes -----------------------------------------------------------------------------------


def test_the_role_of_another_node(nodes: dict[str, Node]) -> None:
    nodes["drone"].role = "rc"
    assert "is the configuration of a drone, not of a rc" in fails_here(nodes["drone"], code=2)


def test_no_configuration(nodes: dict[str, Node]) -> None:
    nodes["rc"].config.unlink()
    assert str(nodes["rc"].config) in fails_here(nodes["rc"], code=3)


def test_no_key(nodes: dict[str, Node]) -> None:
    nodes["mobile"].state.mkdir(mode=0o700)
    assert "aerolink keys generate" in fails_here(nodes["mobile"], code=3)


@pytest.mark.parametrize("role", ["rc", "cloud"])
def test_no_folder(nodes: dict[str, Node], role: str) -> None:
    text = fails_here(nodes[role], code=3)
    assert "aerolink keys generate" in text
    assert str(nodes[role].state) in text


@pytest.mark.parametrize(("role", "peer"), [("rc", "drone"), ("mobile", "rc")])
def test_not_paired(nodes: dict[str, Node], role: str, peer: str) -> None:
    assert f"start it once with --pair {peer}" in fails_here(keyed(nodes)[role], code=3)


async def test_a_mistyped_code(nodes: dict[str, Node]) -> None:
    mistyped = "3M4J-NK92-A7V4-72FC-9RDF-7PFY-BXS6\n"
    assert "typing mistake" in await fails(keyed(nodes)["rc"], "--pair", "drone", typed=mistyped, code=2)


async def test_the_code_of_somebody_else(nodes: dict[str, Node]) -> None:
    drone, rc, *_ = keyed(nodes).values()
    for node in (drone, rc):  # a stream's deadline, which can be set, and not the ten seconds of datagrams
        text = node.config.read_text().replace("[link]\n", '[link]\ncarrier = "tcp"\n')
        node.config.write_text(text + "[limits]\nhandshake_deadline_s = 1\n")
    with shown_if_failed(drone), trio.fail_after(DEADLINE_S):
        life = drone.start("--pair", "rc")
        await until(lambda: len(life.notes) > 1, drone)
        text = await fails(rc, "--pair", "drone", typed=NOBODY.text() + "\n", code=4)
        assert "wrong code" in text


async def test_a_token_of_another_cloud(nodes: dict[str, Node], tmp_path: Path) -> None:
    cloud, other = keyed(nodes)["cloud"], tmp_path / "other"
    other.mkdir(mode=0o700)
    with AuthorityFolder.open(other / PKI, 1.8e9) as folder:
        token = folder.make_token("mobile", 3_600, 1.8e9).text()
    with shown_if_failed(cloud), trio.fail_after(DEADLINE_S):
        life = cloud.start()
        await until(lambda: bool(life.texts()), cloud)
        text = await fails(nodes["mobile"], "--enrol", typed=token + "\n", code=5)
        assert "not the cloud that the token is for" in text


@pytest.mark.parametrize("role", ["drone", "rc", "cloud"])
def test_a_port_in_use(nodes: dict[str, Node], ports: Ports, role: str) -> None:
    port = {"drone": ports.drone, "rc": ports.rc, "cloud": ports.cloud}[role]
    kind = socket.SOCK_DGRAM if role == "drone" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        assert f"{port}: the port is in use" in fails_here(paired(nodes)[role], code=3)


async def test_a_folder_in_use(nodes: dict[str, Node], tmp_path: Path) -> None:
    drone = keyed(nodes)["drone"]
    with shown_if_failed(drone), trio.fail_after(DEADLINE_S):
        life = drone.start()
        await until(lambda: bool(life.texts()), drone)
        twin = Node("drone", tmp_path / "twin")
        twin.folder.mkdir(mode=0o700)
        twin.config.write_text(f'[node]\nrole = "drone"\nstate_dir = "{drone.state}"\n')
        assert "in use" in await fails(twin, code=3)
        assert life.is_running


# --- working, and ending ------------------------------------------------------------------------


INTERRUPTED: Final = (signal.SIGINT, 130, "interrupted")
TERMINATED: Final = (signal.SIGTERM, 143, "ended by SIGTERM")


@pytest.mark.parametrize(
    ("first", "second"),
    [(INTERRUPTED, TERMINATED), pytest.param(TERMINATED, INTERRUPTED, marks=pytest.mark.slow)],
    ids=["interrupted", "terminated"],
)
async def test_a_signal_ends_each_node_in_order(
    nodes: dict[str, Node], first: tuple[signal.Signals, int, str], second: tuple[signal.Signals, int, str]
) -> None:
    """Drone and mobile get the first one, remote controller and cloud the second."""
    four = list(paired(nodes).values())
    ends = list(zip(four, (first, second) * 2, strict=True))
    with shown_if_failed(*four), trio.fail_after(DEADLINE_S):
        for node in four:
            node.start(as_json=False)
        await until(lambda: all("\n" in node.now.output for node in four), *four)
        for node, (number, _, _) in ends:
            node.now.process.send_signal(number)
        await until(lambda: not any(node.now.is_running for node in four))
    for node, (_, code, words) in ends:
        assert node.now.process.returncode == code
        assert errors_of(node) == f"aerolink: {words}\n"
        assert node.now.output.startswith(f"{node.role}: ")
        assert all(line.isprintable() for line in node.now.output.splitlines())


async def test_codes_and_a_token_make_a_chain_and_are_nowhere_else(nodes: dict[str, Node]) -> None:
    drone, rc, mobile, cloud = keyed(nodes).values()
    with shown_if_failed(drone, rc, mobile, cloud), trio.fail_after(2 * DEADLINE_S):
        drone_life, cloud_life = drone.start("--pair", "rc"), cloud.start()
        code = await code_of(drone, "rc")
        rc_life = rc.start("--pair", "drone", "--pair", "mobile", typed=code + "\n")
        ground_code = await code_of(rc, "mobile")
        await until(lambda: bool(cloud_life.texts()), cloud)
        token = await token_of(cloud)
        mobile_life = mobile.start("--enrol", "--pair", "rc", typed=f"{token}\n{ground_code}\n")
        ends = (
            (drone_life, "drone-rc"),
            (rc_life, "rc-mobile"),
            (mobile_life, "rc-mobile"),
            (mobile_life, "mobile-cloud"),
        )
        await until(lambda: all(life.links(link) for life, link in ends), drone, rc, mobile, cloud)
        for node in nodes.values():
            check_process(node)
        for node in nodes.values():
            assert node.now.end() == 143
    typed = {code, ground_code, token}
    said = {each["code"] for node in nodes.values() for each in node.now.notes if each.get("event") == "code"}
    assert said == {code, ground_code}  # shown once, to be typed
    for node in nodes.values():
        others = [json.dumps(each) for each in node.now.notes if each.get("event") != "code"]
        assert not any(secret in line for secret in typed for line in [*others, node.now.errors])
        assert not SECRET_LIKE.search("\n".join(others) + node.now.errors)


async def code_of(node: Node, peer: str) -> str:
    """The code that a node shows, as soon as it does."""

    def shown() -> list[str]:
        return [each["code"] for each in node.now.notes if each.get("event") == "code" and each["for"] == peer]

    await until(lambda: bool(shown()), node)
    return shown()[0]


async def token_of(cloud: Node) -> str:
    command = [*COMMAND, "cloud", "token", "--state-dir", str(cloud.state), "--name", "mobile", "--json"]
    done = await trio.run_process(command, capture_stdout=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return str(found["token"])


def check_process(node: Node) -> None:
    """Nothing that was typed or shown is on a command line, or in an environment."""
    if not PROC.is_dir():
        require_or_skip("there is no /proc to look at processes in")
    for name in ("cmdline", "environ"):
        text = (PROC / str(node.now.process.pid) / name).read_bytes().decode(errors="replace")
        assert not SECRET_LIKE.search(text)
