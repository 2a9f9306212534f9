"""curl and openssl as clients of our server: what HTTP and TLS say to strangers."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio

from nodes import Endpoint
from nodes.https import HttpsServer
from tests.conftest import require_or_skip
from tests.helpers.certificates import HOST, Authority, Identity, make_authority, server_context
from tests.helpers.https_ends import echo
from tests.live.kit import DEADLINE_S, LOOPBACK


@dataclass
class Files:
    """What a client needs, as files."""

    ours: Authority
    cloud: Identity
    device: Identity
    late: Identity
    stranger: Identity


@pytest.fixture(name="files", scope="module")
def make_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = make_authority(folder), make_authority(folder, "other")
    return Files(ours, ours.issue(HOST), ours.issue("device"), ours.issue("late", days=-1), theirs.issue("stranger"))


async def run(*command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    if shutil.which(command[0]) is None:
        require_or_skip(f"{command[0]} is not installed")
    with trio.fail_after(DEADLINE_S):
        return await trio.run_process(command, stdin=stdin, capture_stdout=True, capture_stderr=True, check=False)


async def curl(files: Files, where: Endpoint, *options: str) -> subprocess.CompletedProcess[bytes]:
    place = f"https://{HOST}:{where.port}/v1/health"
    fixed = ("-sS", "--noproxy", "*", "--resolve", f"{HOST}:{where.port}:127.0.0.1", "--cacert", str(files.ours.file))
    return await run("curl", *fixed, *options, place)


async def test_hf_36_curl_gets_an_answer(files: Files, tmp_path: Path) -> None:
    """HF-14: for a large body it asks first."""
    (tmp_path / "body").write_bytes(bytes(1_500_000))
    async with HttpsServer(echo, server_context(files.ours, files.cloud)) as server:
        ask = partial(curl, files, await server.serve(LOOPBACK), "--cert", str(files.device.file))
        assert (await ask()).stdout == b"GET /v1/health  0\n"
        assert (await ask("--data", "abc")).stdout == b"POST /v1/health  3\n"
        assert (await ask("-T", str(tmp_path / "body"))).stdout == b"PUT /v1/health  1500000\n"
        answer = await ask("-H", "Transfer-Encoding: chunked", "--data", "abc")
        assert answer.stdout == b"501 Not Implemented\n"


@pytest.mark.parametrize("who", ["nobody", "late", "stranger", "tls-1.2"])
async def test_hf_34_45_curl_is_refused(files: Files, who: str) -> None:
    options = {
        "nobody": (),
        "late": ("--cert", str(files.late.file)),
        "stranger": ("--cert", str(files.stranger.file)),
        "tls-1.2": ("--cert", str(files.device.file), "--tls-max", "1.2"),
    }[who]
    async with HttpsServer(echo, server_context(files.ours, files.cloud)) as server:
        answer = await curl(files, await server.serve(LOOPBACK), *options)
        assert answer.returncode != 0
        assert b"alert" in answer.stderr  # it is told why
        assert (server.counters.handshakes_refused, server.counters.requests) == (1, 0)


async def test_hf_4_openssl_is_told_what_it_has_done(files: Files) -> None:
    async with HttpsServer(echo, server_context(files.ours, files.cloud)) as server:
        where = await server.serve(LOOPBACK)
        answer = await run(
            *("openssl", "s_client", "-quiet", "-ign_eof", "-connect", str(where), "-servername", HOST),
            *("-cert", str(files.device.file), "-key", str(files.device.file), "-CAfile", str(files.ours.file)),
            stdin=b"GET / HTTP/1.1\nHost: a\n\n",
        )
        assert answer.stdout.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert server.counters.requests_refused == 1
