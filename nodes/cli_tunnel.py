"""``aerolink tunnel``: the two ends between an autopilot and its ground stations."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nodes.cli_mavlink import MavlinkOption
from nodes.cli_metrics import MetricsOption, with_metrics
from nodes.cli_node import say_to
from nodes.cli_options import common_options, log_level
from nodes.cli_output import own_thread, text_output, write_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodes.config import Config
    from nodes.config.endpoint import Endpoint
    from nodes.config.mavlink import MavlinkEndpoint
    from nodes.stations.notes import Say
    from nodes.working import Errands
    from protocols.pairing import LinkingCode
    from specs.registry import Role

ENDS: Final = ("drone", "ground")
_EXAMPLES: Final = {"drone": "--mavlink udpin:127.0.0.1:14550", "ground": "--mavlink udpout:127.0.0.1:14550"}


@click.command(
    epilog="Example: aerolink tunnel drone --config drone.toml --mavlink serial:/dev/ttyACM0:57600 (there), then: "
    "aerolink tunnel ground --config rc.toml --mavlink udpout:127.0.0.1:14550 (here)"
)
@click.argument("end", type=click.Choice(ENDS, case_sensitive=False))
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    help="Configuration of this end.",
)
@MavlinkOption
@MetricsOption
@click.option("--pair", "pair", is_flag=True, help="Pair first, though this end is paired already.")
@common_options
def tunnel(
    end: str,
    config_file: Path,
    mavlink: "tuple[MavlinkEndpoint, ...]",
    metrics: "Endpoint | None",
    pair: bool,
    as_json: bool,
) -> int:  # click's way
    """Secure the MAVLink between an autopilot and its ground stations, until Ctrl-C or SIGTERM.

    DRONE is the end beside the autopilot, GROUND the end beside the ground stations (a configuration of role rc or
    mobile). The first start makes the device's key and pairs: the drone shows a linking code, as text and as a QR
    code, and the ground asks for it, or reads it from stdin. Nothing passes before that.
    """
    from nodes.cli_async import run_async
    from nodes.cli_pair import ask_code
    from nodes.config import load
    from nodes.stations.notes import Line
    from nodes.working.setting_up import make_keys, paired_roles, with_ports
    from protocols.errors import UsageError
    from specs.registry import Role

    config = with_metrics(with_ports(load(config_file), mavlink), metrics)
    log_level(config.node.log_level)
    roles = (Role.DRONE,) if end == "drone" else (Role.RC, Role.MOBILE)
    own = config.node.role
    if own not in roles:
        wanted = " or ".join(role.name.lower() for role in roles)
        raise UsageError(
            f"{config_file} is the configuration of a {own.name.lower()}; `tunnel {end}` needs one of role {wanted}"
        )
    if not config.mavlink.ports:
        raise UsageError(f'no MAVLink port: add "ports" to [mavlink] in {config_file}, or {_EXAMPLES[end]}')
    say = say_to(as_json=as_json)
    for line in make_keys(config):
        say(Line(config.name, line))
    paired = paired_roles(config)
    rc_code = ask_code("rc", as_json=as_json) if own is Role.MOBILE and Role.RC not in paired else None
    errands = _errands(config, paired, pair=pair, as_json=as_json)
    with own_thread(as_json=as_json):
        run_async(_run, config, rc_code, errands, say)
    return 0


async def _run(config: "Config", rc_code: "LinkingCode | None", errands: "Errands", say: "Say") -> None:
    from nodes.working import work
    from nodes.working.setting_up import pair_with_rc

    if rc_code is not None:
        await pair_with_rc(config, rc_code, say)
    await work(config, errands, say)


def _errands(config: "Config", paired: "frozenset[Role]", *, pair: bool, as_json: bool) -> "Errands":
    from nodes.cli_pair import ask_code
    from nodes.working import Errands
    from specs.registry import Role

    peer = Role.RC if config.node.role is Role.DRONE else Role.DRONE
    missing = peer not in paired
    if not (missing or pair):
        return Errands()
    if peer is Role.RC:
        return Errands((peer,), on_code=_shower(config, as_json=as_json), renews=missing)
    return Errands(asks=peer, code=ask_code(as_json=as_json))


def _shower(config: "Config", *, as_json: bool) -> "Callable[[Role, LinkingCode, bytes], None]":
    """Return what shows a code to whoever is in front of the drone."""
    from nodes.pairing import PairingScreen
    from specs.registry import CODE_LIFETIME_S

    def show(peer: "Role", code: "LinkingCode", own: bytes) -> None:
        if as_json:
            shown = {"event": "code", "for": peer.name.lower(), "code": code.text(), "key_id": own.hex()}
            write_line(json.dumps(shown))
        else:
            screen = PairingScreen(text_output(), as_json=False)
            screen.show_code(code, config.link.listen, config.link.carrier, CODE_LIFETIME_S)

    return show
