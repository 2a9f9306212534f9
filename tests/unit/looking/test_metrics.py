"""Metrics: what is counted, what is served, and what is said to those who ask for something else."""

import re
import shutil
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import h11
import pytest
import trio
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser

from nodes.config.endpoint import Endpoint
from nodes.config.tables import Config, LookTable, NodeTable
from nodes.looking import open_look
from nodes.looking.book import StatusBook
from nodes.looking.metrics import CONTENT_TYPE, Exposition
from nodes.looking.metrics_server import MAX_CONNECTIONS, MAX_HEAD_BYTES, REQUEST_S, MetricsServer
from nodes.stations.notes import CLASSES, Alarmed, Holds, Line, LinkIsDown, LinkIsUp, LinkMeter, Live, Note
from protocols.errors import ConfigError
from specs.registry import Role
from tests.conftest import require_or_skip
from tests.live.kit import DEADLINE_S

RC = "rrrr-rrrr"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def families_of(text: str) -> dict[str, Metric]:
    """What the reader of prometheus-client, which is strict, makes of it."""
    read: Any = cast("Any", parser).text_string_to_metric_families
    return {family.name: family for family in cast("list[Metric]", list(read(text)))}


def samples_of(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families_of(text).values()
        for sample in family.samples
    }


def sample(text: str, metric: str, /, **labels: str) -> float:
    labels = {label.rstrip("_"): value for label, value in labels.items()}
    return samples_of(text)[metric, tuple(sorted(labels.items()))]


def text_of(book: StatusBook, name: str = "d1") -> str:
    return Exposition(lambda: book.status(name)).text().decode()


@pytest.fixture
def book() -> StatusBook:
    now_s = [100.0]
    book = StatusBook(lambda: now_s[0])
    book.enter("d1", "drone", 7, ("dddd",), "1.2.3")
    now_s[0] = 103.5
    counts = {name: {"sent": 5, "received": 3, "lost": 1} for name in CLASSES}
    book.take(LinkIsUp("d1", "SUITE", RC, 12.5, carrier="udp", role="rc"))
    book.take(LinkMeter("d1", "drone-rc", counts, 2, 4.0, 1, RC))
    book.take(Holds("flight", "rc", "d1", RC))
    book.take(Alarmed("d1", "UNKNOWN_PEER", 'text with "quotes"\\ and\nlines'))
    return book


def test_what_is_counted(book: StatusBook) -> None:
    text = text_of(book)
    assert text.endswith("# EOF\n")
    link = {"link": "drone-rc", "peer": RC, "role": "rc"}
    assert sample(text, "aerolink_build_info", version="1.2.3") == 1
    assert sample(text, "aerolink_node_info", name="d1", role="drone") == 1
    assert sample(text, "aerolink_uptime_seconds") == 3.5
    assert sample(text, "aerolink_link_up", **link) == 1
    assert sample(text, "aerolink_link_handshakes_total", **link) == 1
    assert sample(text, "aerolink_handshake_seconds", **link) == 0.0125
    assert sample(text, "aerolink_link_round_trip_seconds", **link) == 0.004
    assert sample(text, "aerolink_rekeys_total", **link) == 2
    assert sample(text, "aerolink_messages_total", **link, class_="state", direction="sent") == 5
    assert sample(text, "aerolink_messages_total", **link, class_="bulk", direction="received") == 3
    assert sample(text, "aerolink_messages_lost_total", **link, class_="stream") == 1
    assert sample(text, "aerolink_right_held", drone="", right="flight", holder="rc", holder_id=RC) == 1
    assert sample(text, "aerolink_alarms_total", kind="UNKNOWN_PEER") == 1


def test_a_link_that_has_ended_keeps_its_counters(book: StatusBook) -> None:
    link = {"link": "drone-rc", "peer": RC, "role": "rc"}
    book.take(LinkIsDown("d1", "drone-rc", RC, "nothing heard"))
    text = text_of(book)
    assert sample(text, "aerolink_link_up", **link) == 0
    assert sample(text, "aerolink_rekeys_total", **link) == 2
    assert "aerolink_link_round_trip_seconds{" not in text


def test_units_and_types(book: StatusBook) -> None:
    families = families_of(text_of(book))
    assert {name: family.type for name, family in families.items()} == {
        "aerolink_build": "info",
        "aerolink_node": "info",
        "aerolink_uptime_seconds": "gauge",
        "aerolink_link_up": "gauge",
        "aerolink_link_handshakes": "counter",
        "aerolink_handshake_seconds": "gauge",
        "aerolink_link_round_trip_seconds": "gauge",
        "aerolink_rekeys": "counter",
        "aerolink_messages": "counter",
        "aerolink_messages_lost": "counter",
        "aerolink_right_held": "gauge",
        "aerolink_alarms": "counter",
    }
    assert {family.unit for name, family in families.items() if name.endswith("_seconds")} == {"seconds"}
    assert all(family.documentation for family in families.values())


def test_a_cloud(book: StatusBook) -> None:
    book.enter("sky", "cloud")
    book.take(Live(12))
    assert sample(text_of(book, "sky"), "aerolink_live_messages_total") == 12


def test_the_page_for_operators_has_every_metric(book: StatusBook) -> None:
    page = (Path(__file__).parents[3] / "docs" / "operate.md").read_text().partition("\n## Metrics\n")[2]
    listed = {name for row in re.findall(r"^\| (`aerolink_.+?) \|", page, re.MULTILINE) for name in row.split("`")}
    book.enter("sky", "cloud")
    served = {line.split("{")[0].split()[0] for name in ("d1", "sky") for line in text_of(book, name).splitlines()}
    assert {name for name in listed if name.startswith("aerolink")} == served - {"#"}


# --- over HTTP ----------------------------------------------------------------------------------


@asynccontextmanager
async def served(folder: Path, where: Endpoint = Endpoint("127.0.0.1", 0)) -> AsyncGenerator[int]:  # noqa: B008
    """A node with metrics; yields its port."""
    said: list[Note] = []
    config = Config(node=NodeTable(role=Role.DRONE, name="d1", state_dir=folder), look=LookTable(metrics=where))
    with trio.fail_after(DEADLINE_S):
        async with open_look(config, said.append) as say:
            say(Line("d1", "flies"))
            (first, *_) = said
            assert isinstance(first, Line)
            assert first.text.startswith("metrics at http://127.0.0.1:")
            assert first.text.endswith("/metrics")
            yield int(first.text.split(":")[2].partition("/")[0])


async def answer_to(port: int, data: bytes) -> tuple[int, dict[str, str], str]:
    """What the server says to some bytes, up to its end."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(data)
        reader = h11.Connection(h11.CLIENT)
        method = data.partition(b" ")[0] or b"GET"
        reader.send(h11.Request(method="HEAD" if method == b"HEAD" else "GET", target="/", headers=[("Host", "x")]))
        reader.send(h11.EndOfMessage())
        body, response = b"", None
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA:
                reader.receive_data(await stream.receive_some(65_536))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
    assert response is not None
    return response.status_code, {k.decode(): v.decode() for k, v in response.headers}, body.decode()


async def test_it_is_served(tmp_path: Path) -> None:
    """OpenMetrics also for who does not ask for it (no Accept), and for who asks for something else."""
    async with served(tmp_path) as port:
        for accept in (b"", b"Accept: text/html\r\n"):
            status, headers, body = await answer_to(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + accept + b"\r\n")
            assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
            assert CONTENT_TYPE == "application/openmetrics-text; version=1.0.0; charset=utf-8"
            assert body.endswith("# EOF\n")
            assert sample(body, "aerolink_node_info", name="d1", role="drone") == 1
        head = await answer_to(port, b"HEAD /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (head[0], head[2]) == (200, "")
        assert int(head[1]["content-length"]) > 100


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET / HTTP/1.1", 404),
        ("GET /metrics/ HTTP/1.1", 404),
        ("GET http://127.0.0.1/metrics HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("DELETE /metrics HTTP/1.1", 405),
        ("GET /metrics HTTP/1.0", 200),
        ("GET /metrics HTTP/9.9.9", 400),
        ("\x16\x03\x01\x00\xa5", 400),
    ],
)
async def test_what_is_not_served(tmp_path: Path, request_line: str, status: int) -> None:
    async with served(tmp_path) as port:
        answer = await answer_to(port, f"{request_line}\r\nHost: x\r\n\r\n".encode("latin-1"))
        assert answer[0] == status
        assert answer[1].get("allow") == ("GET, HEAD" if status == 405 else None)


async def test_a_head_that_is_too_long(tmp_path: Path) -> None:
    async with served(tmp_path) as port:
        head = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (2 * MAX_HEAD_BYTES)
        assert (await answer_to(port, head))[0] == 431


async def test_many_slow_clients_hold_nothing_up(autojump_clock: object) -> None:
    """They are let go of after a while; until then others are told."""
    assert autojump_clock
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(MetricsServer(lambda: b"# EOF\n").run, listener)
        slow = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        for stream in slow:
            await stream.send_all(request[:9])
        assert (await answer_to(port, request))[0] == 503
        await trio.sleep(REQUEST_S + 1)
        assert (await answer_to(port, request))[0] == 200
        for stream in slow:
            with suppress(trio.BrokenResourceError):  # a reset, since nobody read what it had said
                assert await stream.receive_some() == b""
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_curl_reads_it(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        require_or_skip("curl is not installed")
    async with served(tmp_path) as port:
        command = ["curl", "--silent", "--show-error", "--fail", "--include", f"http://127.0.0.1:{port}/metrics"]
        done = await trio.run_process(command, capture_stdout=True)
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    assert "200" in head.splitlines()[0]
    assert f"content-type: {CONTENT_TYPE}" in head.lower()
    assert families_of(body)


async def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        where = Endpoint("127.0.0.1", other.getsockname()[1])
        with pytest.raises(ConfigError, match=str(where)) as caught:
            async with served(tmp_path, where):
                pass
    assert "\n" not in str(caught.value)
