"""``aerolink node``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodes.cli_mavlink import MavlinkOption
from nodes.cli_metrics import MetricsOption, with_metrics
from nodes.cli_options import common_options, log_level
from nodes.cli_output import own_thread, write_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodes.config.endpoint import Endpoint
    from nodes.config.mavlink import MavlinkEndpoint
    from nodes.stations.notes import Note
    from nodes.working import Errands
    from protocols.pairing import LinkingCode
    from specs.registry import Role

ROLES = ("drone", "rc", "mobile", "cloud")


@click.command(epilog="Example: aerolink node drone --config drone.toml --pair rc")
@click.argument("role", type=click.Choice(ROLES, case_sensitive=False))
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    help="Configuration of this node.",
)
@click.option(
    "--pair",
    "peers",
    multiple=True,
    type=click.Choice(ROLES, case_sensitive=False),
    help="First pair with a device of this role: shows a linking code, or asks for it. Repeat it to show several; the "
    "next for the same role is shown when the one before was used.",
)
@click.option("--drone", "drone", metavar="KEYID", help="Key id of the drone to pair with (cloud; mobile).")
@click.option("--enrol", is_flag=True, help="First enrol at the cloud: asks for the token (mobile, dock).")
@MavlinkOption
@MetricsOption
@click.option(
    "--supervised",
    is_flag=True,
    help="For programs that start nodes: objects as with --json, counters of links as well; the end of stdin ends it.",
)
@common_options
def node(
    role: str,
    config_file: Path,
    peers: tuple[str, ...],
    drone: str | None,
    enrol: bool,  # click's way
    mavlink: "tuple[MavlinkEndpoint, ...]",
    metrics: "Endpoint | None",
    supervised: bool,  # click's way
    as_json: bool,
) -> int:
    """Run one node of the chain until Ctrl-C or SIGTERM: it keeps its links, and begins again where it was.

    Codes and tokens come from stdin, one a line, the token first: the command line is there for everybody on the
    machine to read. With --json each thing that happens is one object a line.
    """
    from nodes.cli_async import run_async
    from nodes.config import load
    from nodes.working import work
    from nodes.working.setting_up import with_ports
    from nodes.working.supervised import work_supervised
    from protocols.errors import UsageError

    config = with_metrics(with_ports(load(config_file), mavlink), metrics)
    log_level(config.node.log_level)
    if config.node.role.name.lower() != role:
        raise UsageError(f"{config_file} is the configuration of a {config.node.role.name.lower()}, not of a {role}")
    if enrol and not config.has_cloud:
        _refuse_to_enrol(config.node.role)
    errands = _errands(config.node.role, peers, drone, enrol=enrol, as_json=as_json)
    with own_thread(as_json=as_json or supervised):
        if supervised:
            run_async(work_supervised, config, errands, write_line)
        else:
            run_async(work, config, errands, say_to(as_json=as_json))
    return 0


def _refuse_to_enrol(own: "Role") -> None:
    from protocols.errors import UsageError
    from specs.registry import Role

    if own in {Role.MOBILE, Role.RC}:
        raise UsageError("this node goes to no cloud: `enabled = true` in [cloud], and it can enrol there")
    raise UsageError("only a mobile enrols at a cloud, or an rc that is a dock")


def _errands(own: "Role", peers: tuple[str, ...], drone: str | None, *, enrol: bool, as_json: bool) -> "Errands":
    from nodes.cli_pair import ask_code
    from nodes.working import ASKS, SHOWS, Errands
    from protocols.errors import UsageError
    from specs.registry import Role

    wanted = tuple(Role[peer.upper()] for peer in peers)
    shows = tuple(peer for peer in wanted if peer in SHOWS.get(own, {}))
    asks = tuple(peer for peer in wanted if peer in ASKS.get(own, ()))
    strange = [peer.name.lower() for peer in wanted if peer not in {*shows, *asks}]
    if strange:
        raise UsageError(f"a {own.name.lower()} does not pair with a {strange[0]}")
    if len(asks) > 1:
        raise UsageError("one code at a time: pair with one device, and start again for the next")
    drone_id = None if drone is None else _key_id(drone)
    if own is Role.CLOUD and asks and drone_id is None:
        raise UsageError("name the drone to pair with: --drone KEYID; its key id stands beside its linking code")
    token = _ask_token(as_json=as_json) if enrol else None
    code = ask_code(asks[0].name.lower(), as_json=as_json) if asks else None
    show = _show_json if as_json else _show_code
    return Errands(shows, asks[0] if asks else None, code, drone_id, token, show)


def _key_id(typed: str) -> bytes:
    from protocols.crypto.fingerprint import parse_key_id
    from protocols.errors import KeyFormatError, UsageError

    try:
        return parse_key_id(typed)
    except KeyFormatError:
        line = "a key id has 32 hexadecimal digits: it stands beside the linking code; a fingerprint will do as well"
        raise UsageError(line) from None


def _ask_token(*, as_json: bool) -> str:
    """Read an enrolment token, and see at once whether it is mistyped; CodeFormatError."""
    from protocols.enrolment import EnrolmentToken
    from protocols.errors import UsageError

    typed = sys.stdin.isatty()
    line = click.prompt("Token that the cloud gave", err=as_json) if typed else sys.stdin.readline(512)
    if not line.strip():
        raise UsageError("no token came on stdin: type it, or pass it as one line")
    return EnrolmentToken.parse(line.strip()).text()


def _show_code(peer: "Role", code: "LinkingCode", own: bytes) -> None:
    click.echo(f"Linking code for a {peer.name.lower()}: {code.text()}   (key id {own.hex()})")


def _show_json(peer: "Role", code: "LinkingCode", own: bytes) -> None:
    write_line(json.dumps({"event": "code", "for": peer.name.lower(), "code": code.text(), "key_id": own.hex()}))


def say_to(*, as_json: bool) -> "Callable[[Note], None]":
    """Return what says notes on stdout, as a node does."""
    from nodes import logs

    if as_json:
        return _say_json
    logs.alarms_are_said()
    return _lines()


def _lines() -> "Callable[[Note], None]":
    """Return what says notes as lines; uploads in quarters."""
    from nodes.config.reader import one_line
    from nodes.stations.sentences import Quarters, sentence

    quarters = Quarters()

    def say(note: "Note") -> None:
        text = sentence(note) if quarters.passes(note) else ""
        if text:
            write_line(one_line(text))

    return say


def _say_json(note: "Note") -> None:
    from dataclasses import asdict

    from nodes.stations.notes import LinkMeter

    if not isinstance(note, LinkMeter):
        write_line(json.dumps({"event": type(note).__name__, **asdict(note)}))
