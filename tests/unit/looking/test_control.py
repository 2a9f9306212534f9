"""The control socket (specs/control-socket.md): where it is, who may look, what is said, and hostile readers."""

import contextlib
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import trio
import trio.testing

from nodes.config.tables import Config, LookTable, NodeTable
from nodes.looking import open_look, place
from nodes.looking.book import StatusBook
from nodes.looking.client import (
    MAX_LINE_BYTES,
    Look,
    Lost,
    NotRunningError,
    Seen,
    look_at,
    open_sight,
    sight_of_untrusted,
)
from nodes.looking.control import IDLE_S, MAX_CONNECTIONS, MAX_NOTES, MAX_REQUEST_BYTES, Control
from nodes.looking.passes import PASSES, seen
from nodes.looking.place import SOCKET_NAME, ControlPlace
from nodes.looking.plain import to_plain
from nodes.looking.status import NodeStatus
from nodes.stations.notes import Carry, Holds, Line, LinkIsUp, LinkMeter, Meter, Note, Progress, Ready, Say
from protocols.errors import ConfigError, LinkTimeoutError, MalformedError
from specs.registry import Role
from tests.live.kit import DEADLINE_S

STATUS = b'{"version": 1, "request": "status"}\n'
MONITOR = b'{"version": 1, "request": "monitor"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


def config_of(folder: Path, **look: Any) -> Config:
    return Config(node=NodeTable(role=Role.DRONE, name="d1", state_dir=folder), look=LookTable(**look))


@asynccontextmanager
async def node_in(folder: Path) -> AsyncGenerator[Say]:
    """What a running station has."""
    said: list[Note] = []
    with trio.fail_after(DEADLINE_S):
        async with open_look(config_of(folder), said.append) as say:
            yield say


async def raw(folder: Path) -> trio.SocketStream:
    return await trio.open_unix_socket(folder / SOCKET_NAME)


async def line_of(stream: trio.abc.ReceiveStream) -> dict[str, Any]:
    got = b""
    while not got.endswith(b"\n"):
        data = await stream.receive_some(1)
        assert data, got
        got += data
    value: dict[str, Any] = json.loads(got)
    return value


async def rest_of(stream: trio.abc.ReceiveStream) -> bytes:
    got = b""
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65_536):
            got += data
    return got


async def refused(folder: Path, data: bytes) -> str:
    """Send something that is no request; return what the node says before it closes."""
    async with await raw(folder) as stream:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(data)
        value = json.loads(await rest_of(stream))
    assert value.keys() == {"version", "error"}
    return str(value["error"])


# --- where it is --------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o777])
async def test_cs_1_mode(folder: Path, umask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask, also while it has another name."""
    modes: list[int] = []
    rename = os.rename

    def spy(source: str, *args: Any, **more: Any) -> None:
        modes.append(stat.S_IMODE(os.stat(source, dir_fd=more["src_dir_fd"]).st_mode))
        rename(source, *args, **more)

    monkeypatch.setattr(os, "rename", spy)
    before = os.umask(umask)
    try:
        with ControlPlace(folder):
            info = (folder / SOCKET_NAME).stat()
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert (stat.S_ISSOCK(info.st_mode), stat.S_IMODE(info.st_mode)) == (True, 0o600)


def test_cs_1_the_socket_is_never_open_to_others(folder: Path) -> None:
    """Bound with an empty umask, its first mode is 0600 already."""
    before = os.umask(0)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            os.fchmod(sock.fileno(), 0o600)
            sock.bind(str(folder / "first"))
            assert stat.S_IMODE((folder / "first").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_folder_that_is_open_to_others(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(ConfigError, match="not its owner's alone"):
        ControlPlace(folder)
    assert list(folder.iterdir()) == []


async def test_cs_2_the_socket_of_a_living_node_is_not_taken(folder: Path) -> None:
    said: list[Note] = []
    async with node_in(folder):
        async with open_look(config_of(folder), said.append) as second:
            second(Line("d1", "hello"))
            assert [note.text for note in said if isinstance(note, Line)] == [
                f"nobody can look: no control socket in {folder}: another process has it",
                "hello",
            ]
        assert (await look_at(folder)).latest == ()  # of the first


async def test_cs_3_what_a_dead_node_left_is_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / SOCKET_NAME))
    with pytest.raises(NotRunningError):
        await look_at(folder)
    async with node_in(folder):
        assert (await look_at(folder)).name == "d1"
    assert not (folder / SOCKET_NAME).exists()
    with pytest.raises(NotRunningError):
        await look_at(folder)


async def test_cs_4_a_socket_that_cannot_be_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_FDS", folder / "no proc here")
    deep = folder / ("x" * 100)
    deep.mkdir(mode=0o700)
    said: list[Note] = []
    async with open_look(config_of(deep), said.append) as say:
        say(Line("d1", "flies"))
    (line, flies) = said
    assert isinstance(line, Line)
    assert "nobody can look" in line.text
    assert "107 bytes" in line.text
    assert isinstance(flies, Line)
    assert flies.text == "flies"


async def test_cs_4_a_long_path_is_no_obstacle(folder: Path) -> None:
    deep = folder
    for _ in range(4):
        deep /= "x" * 60
    deep.mkdir(parents=True)
    deep.chmod(0o700)
    async with node_in(deep):
        assert (await look_at(deep)).name == "d1"


async def test_no_folder_no_socket(tmp_path: Path) -> None:
    async with node_in(tmp_path / "none"):
        assert os.listdir(tmp_path) == []  # noqa: PTH208
    with pytest.raises(ConfigError, match="there is no state folder"):
        await look_at(tmp_path / "none")


async def test_it_may_be_turned_off(folder: Path) -> None:
    async with open_look(config_of(folder, control=False), lambda _: None):
        assert os.listdir(folder) == []  # noqa: PTH208


async def test_errors_pass_as_they_are(folder: Path) -> None:
    with pytest.raises(ConfigError, match="as it is"):
        async with open_look(config_of(folder), lambda _: None):
            raise ConfigError("as it is")
    assert not (folder / SOCKET_NAME).exists()


async def test_a_socket_that_breaks_does_not_end_the_node(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("the listener broke")

    monkeypatch.setattr(Control, "run", broken)
    async with node_in(folder) as say:
        await trio.testing.wait_all_tasks_blocked()
        say(Line("d1", "flies on"))


# --- who may look -------------------------------------------------------------------------------


PROBE = """
import os, socket, sys
os.fchdir(int(sys.argv[1])); os.setgroups([]); os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX) as sock:
    sock.settimeout(10)
    try:
        sock.connect("control.sock")
        sock.sendall(sys.argv[2].encode())
        print("got", sock.recv(99))
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_cs_5_another_user(folder: Path) -> None:
    """He does not come to the socket; where modes let him, he is closed without a word."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    async def look() -> str:
        command = [sys.executable, "-I", "-c", PROBE, str(fd), STATUS.decode()]
        done = await trio.run_process(command, capture_stdout=True, pass_fds=(fd,))
        return done.stdout.decode().strip()

    async with node_in(folder):
        assert await look() == "PermissionError"
        os.chmod(folder, 0o711)  # noqa: PTH101, S103
        assert await look() == "PermissionError"
        os.chmod(folder / SOCKET_NAME, 0o666)  # noqa: PTH101, S103
        assert await look() in {"got b''", "ConnectionResetError", "BrokenPipeError"}
    os.close(fd)


async def test_cs_5_the_uid_is_what_counts(folder: Path) -> None:
    """Without root: a node that belongs to somebody else closes without a word."""
    if os.geteuid() == 0:
        pytest.skip("root may look at every node")
    book = StatusBook()
    book.enter("d1", "drone")
    with ControlPlace(folder) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Control(lambda: book.status("d1"), uid=os.geteuid() + 1).run, here.socket)
            with pytest.raises(NotRunningError):
                await look_at(folder)
            nursery.cancel_scope.cancel()


async def test_cs_6_many_connections(folder: Path) -> None:
    async with node_in(folder):
        streams = [await raw(folder) for _ in range(MAX_CONNECTIONS)]
        for stream in streams:
            await stream.send_all(STATUS)
            assert (await line_of(stream))["status"]["name"] == "d1"
        assert await refused(folder, STATUS) == "too many are looking"
        with pytest.raises(ConfigError, match="too many are looking"):
            await look_at(folder)
        await streams.pop().aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert (await look_at(folder)).name == "d1"
        for stream in streams:
            await stream.aclose()


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[Say]:
    """A socket without a station: nothing in it takes time but by the clock."""
    book = StatusBook()
    book.enter("d1", "drone")
    control = Control(lambda: book.status("d1"))
    with ControlPlace(folder) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.run, here.socket)
            yield control.tell
            nursery.cancel_scope.cancel()


async def test_cs_7_who_says_nothing_is_closed(folder: Path, autojump_clock: object) -> None:
    assert autojump_clock
    async with served(folder), await raw(folder) as stream:
        began_s = trio.current_time()
        assert await rest_of(stream) == b""
        assert trio.current_time() - began_s == pytest.approx(IDLE_S)


async def test_cs_7_who_takes_nothing_is_closed(folder: Path, autojump_clock: object) -> None:
    assert autojump_clock
    async with served(folder) as tell, await raw(folder) as stream:
        await stream.send_all(MONITOR)
        await line_of(stream)
        for _ in range(MAX_NOTES):
            tell(Line("d1", "x" * 10_000))
        await trio.sleep(2 * IDLE_S)
        assert len(await rest_of(stream)) < MAX_NOTES * 10_000  # it would go on for ever if it were not closed


# --- what is said -------------------------------------------------------------------------------


async def test_status_again_and_again(folder: Path) -> None:
    async with node_in(folder) as say:
        async with await raw(folder) as stream:
            await stream.send_all(STATUS + STATUS)
            say(Holds("flight", "rc", "d1", "rrrr"))
            first, second = await line_of(stream), await line_of(stream)
        assert first["version"] == second["version"] == 1
        status = await look_at(folder)
    assert (status.name, status.role, status.pid, status.rights["flight"]) == ("d1", "drone", os.getpid(), "rc")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"x" * (MAX_REQUEST_BYTES + 1), "at most 1024 bytes"),
        (b" " * MAX_REQUEST_BYTES + STATUS, "at most 1024 bytes"),
        (b"\n", "JSON object"),
        (b"\xff\xfe\x00\n", "JSON object"),
        (b"[" * 1_000 + b"\n", "JSON object"),
        (b'"status"\n', "JSON object"),
        (b'{"request": "status"}\n', "version 1"),
        (b'{"version": true, "request": "status"}\n', "version 1"),
        (b'{"version": 2, "request": "status"}\n', "version 1"),
        (b'{"version": 1}\n', "two requests"),
        (b'{"version": 1, "request": ["status"]}\n', "two requests"),
        (b'{"version": 1, "request": "revoke"}\n', "two requests"),
    ],
)
async def test_cs_8_what_is_no_request(folder: Path, data: bytes, says: str) -> None:
    async with node_in(folder):
        assert says in await refused(folder, data)
        assert (await look_at(folder)).name == "d1"


async def test_half_a_request(folder: Path) -> None:
    async with node_in(folder):
        async with await raw(folder) as stream:
            await stream.send_all(STATUS[:9])
            await stream.send_eof()
            assert await rest_of(stream) == b""
        assert (await look_at(folder)).name == "d1"


async def until_note(look: Look) -> Seen | Lost:
    """Return the next sight that is no status."""
    while True:
        sight = await look.next_sight()
        if isinstance(sight, Seen | Lost):
            return sight


async def test_monitor_brings_notes_as_they_come(folder: Path) -> None:
    async with node_in(folder) as say, open_sight(folder) as look:
        await look.ask("monitor")
        assert isinstance(await look.next_sight(), NodeStatus)
        say(LinkIsUp("d1", "SUITE", "rrrr", 1.5, carrier="udp", role="rc"))
        say(LinkMeter("d1", "drone-rc", {}, 0, peer="rrrr"))
        say(Progress("d1", "log", 1, 100))
        say(Line("d1", "evil\x1b[2J"))
        first, progress, second = await until_note(look), await until_note(look), await until_note(look)
        assert progress == Seen("Progress", asdict(Progress("d1", "log", 1, 100)), "")  # no line for each step
        assert isinstance(first, Seen)
        assert isinstance(second, Seen)
        assert (first.kind, first.fields["suite"]) == ("LinkIsUp", "SUITE")
        assert first.text.startswith("d1: drone-rc up over UDP with rrrr")
        assert second.text == "d1: evil?[2J"


async def test_a_status_comes_every_second(folder: Path) -> None:
    async with node_in(folder) as say, open_sight(folder) as look:
        await look.ask("monitor")
        assert isinstance(await look.next_sight(), NodeStatus)
        say(Holds("flight", "rc", "d1", "rrrr"))
        sights = [await look.next_sight(), await look.next_sight()]
    assert isinstance(sights[0], Seen)
    assert isinstance(sights[1], NodeStatus)
    assert sights[1].rights["flight"] == "rc"


async def test_cs_9_a_slow_reader_loses_notes_and_is_told(folder: Path) -> None:
    async with node_in(folder) as say, open_sight(folder) as look:
        await look.ask("monitor")
        await look.next_sight()
        count = 5 * MAX_NOTES
        for number in range(count):  # nobody else runs meanwhile: the queue must take what it takes
            say(Line("d1", str(number)))
        texts = list[str]()
        while len(texts) < MAX_NOTES:
            sight = await until_note(look)
            assert isinstance(sight, Seen)
            texts.append(sight.fields["text"])
        assert texts == [str(number) for number in range(MAX_NOTES)]
        say(Line("d1", "the next"))
        assert await until_note(look) == Lost(count - MAX_NOTES)
        sight = await until_note(look)
        assert isinstance(sight, Seen)
        assert sight.fields["text"] == "the next"


async def test_cs_10_who_monitors_says_nothing_more(folder: Path) -> None:
    async with node_in(folder), await raw(folder) as stream:
        await stream.send_all(MONITOR)
        await line_of(stream)
        await stream.send_all(STATUS)
        await rest_of(stream)
    async with node_in(folder), await raw(folder) as stream:  # in one piece, too
        await stream.send_all(MONITOR + STATUS)
        assert await rest_of(stream) == b""


def test_cs_11_each_kind_of_note_was_decided_about() -> None:
    """Whoever adds a kind of note decides whether others may see it."""
    secrets, numbers = {Ready, Carry}, {"Finished", "LinkMeter", "Meter"}
    kinds: set[type] = set(get_args(Note))
    assert kinds - PASSES - secrets == {kind for kind in kinds if kind.__name__ in numbers}
    assert not PASSES & secrets


async def test_cs_11_secrets_do_not_pass(folder: Path) -> None:
    assert seen(Ready("127.0.0.1:1", "the code")) is None
    assert seen(Carry("rc", "code", "the code")) is None
    async with node_in(folder) as say, await raw(folder) as stream:
        await stream.send_all(MONITOR)
        await line_of(stream)
        say(Ready("127.0.0.1:1", "the code"))
        say(Carry("rc", "code", "the code"))
        say(Line("d1", "after"))
        text = json.dumps([await line_of(stream), to_plain(await look_at(folder))])
    assert "after" in text
    assert "the code" not in text


# --- the other end ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"[" * 100_000, b'{"version": 1, "status": {}}', b'{"version": 1, "status": 5}', b"\xff"],
)
def test_a_reader_refuses_what_is_no_answer(line: bytes) -> None:
    with pytest.raises(MalformedError):
        sight_of_untrusted(line)


def test_cs_12_versions_fields_and_control_characters() -> None:
    with pytest.raises(ConfigError, match="another version"):
        sight_of_untrusted(b'{"version": 2, "status": {}}')
    assert sight_of_untrusted(b'{"version": 1, "new": 5}') is None
    status = StatusBook(lambda: 5.0)
    status.enter("d1", "drone")
    plain = to_plain(status.status("d1")) | {"new": 1}
    assert sight_of_untrusted(json.dumps({"version": 1, "status": plain}).encode()) == status.status("d1")
    with pytest.raises(ConfigError, match=r"the node says: a\?b"):
        sight_of_untrusted(b'{"version": 1, "error": "a\\u001bb"}')
    seen = sight_of_untrusted(b'{"version": 1, "note": "Line", "fields": {}, "text": "a\\u001bb"}')
    assert seen == Seen("Line", {}, "a?b")


ENDLESS: list[tuple[str, Any]] = [
    ("uptime_s", float("inf")),
    ("uptime_s", float("nan")),
    ("uptime_s", 10**400),
    ("pid", 2**63),
    ("vehicle", "x" * 4_097),
    ("latest", ["x"] * 1_025),
    ("links", [{}] * 1_025),
    ("drones", {str(number): "" for number in range(1_025)}),
    ("drones", {"x" * 4_097: ""}),
]


@pytest.mark.parametrize(("name", "value"), ENDLESS)
def test_cs_13_a_status_without_bounds_is_none(name: str, value: object) -> None:
    """Else it would be a traceback, or a picture that takes for ever."""
    status = StatusBook()
    status.enter("d1", "drone")
    plain = to_plain(status.status("d1")) | {name: value}
    with pytest.raises(MalformedError):
        sight_of_untrusted(json.dumps({"version": 1, "status": plain}).encode())


async def test_cs_13_a_long_line_and_much_else_without_a_status(folder: Path, autojump_clock: object) -> None:
    assert autojump_clock

    async def answer(data: bytes, stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(data)
                await trio.sleep(1)

    async def look(data: bytes) -> None:
        with ControlPlace(folder) as at:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(at.socket))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, partial(answer, data), [listener])
                try:
                    await look_at(folder)
                finally:
                    nursery.cancel_scope.cancel()

    with pytest.RaisesGroup(pytest.RaisesExc(LinkTimeoutError, match="does not answer")):
        await look(b'{"version": 1, "new": 5}\n')
    with pytest.RaisesGroup(pytest.RaisesExc(MalformedError, match="without an end")):
        await look(b"x" * MAX_LINE_BYTES + b"xx")


async def test_a_node_that_was_stopped(folder: Path, autojump_clock: object) -> None:
    """Nobody accepts: the kernel does, and nothing comes."""
    assert autojump_clock
    with ControlPlace(folder), pytest.raises(LinkTimeoutError, match="does not answer"):
        await look_at(folder)


def test_meters_are_numbers_only() -> None:
    assert seen(Meter("rc", 0.0, 0, 0, {}, None, 0)) is None
