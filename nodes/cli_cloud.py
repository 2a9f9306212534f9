"""``aerolink cloud``: what the operator of a cloud does with its certificate authority.

Works beside a running cloud: everything is a transaction in ``pki/authority.sqlite`` (specs/10-key-life-cycle.md).
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from nodes.cli_options import common_options
from specs.certificates import MAX_TOKEN_LIFETIME_S, TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from nodes.cli_keys import Output
    from nodes.pki.folder import AuthorityFolder
    from nodes.pki.records import DeviceRecord, Notice

_Command = TypeVar("_Command", bound=Callable[..., Any])
_HOUR_S: Final = 3_600
_MIN_DIGITS: Final = 4


@click.group(epilog="Example: aerolink cloud token --state-dir state --name mobile")
def cloud() -> None:
    """Let devices into a cloud, list and revoke them; works beside a running cloud."""


def _state_dir(command: _Command) -> _Command:
    option = click.option(
        "--state-dir",
        type=click.Path(path_type=Path, readable=False),
        default=Path("state"),
        show_default=True,
        help="The cloud's folder.",
    )
    return option(command)


@cloud.command(epilog="Example: aerolink cloud token --state-dir state --name mobile")
@_state_dir
@click.option("--name", default="", help="What to call the device that uses it.")
@click.option(
    "--hours",
    type=click.IntRange(1, MAX_TOKEN_LIFETIME_S // _HOUR_S),
    default=TOKEN_LIFETIME_S // _HOUR_S,
    show_default=True,
    help="How long it is good for.",
)
@common_options
def token(state_dir: Path, name: str, hours: int, as_json: bool) -> None:
    """Make an enrolment token: it lets in one device, once. Makes the authority if there is none."""
    from protocols.pki import time_text

    now = time.time()
    with _opened(state_dir, create=True) as folder:
        text = folder.make_token(name, hours * _HOUR_S, now).text()
    expires_s = int(now) + hours * _HOUR_S
    lines = f"Enrolment token: {text}; good for one device until {time_text(expires_s)}"
    _output(as_json).tell(lines, {"token": text, "name": name, "expires_s": expires_s})


@cloud.command(epilog="Example: aerolink cloud devices --state-dir state")
@_state_dir
@common_options
def devices(state_dir: Path, as_json: bool) -> None:
    """List the devices that were enrolled."""
    from protocols.pki import time_text

    now = time.time()
    with _opened(state_dir) as folder:
        found = folder.records.devices()
    output = _output(as_json)
    if as_json:
        output.tell("", {"devices": [_described(each, now) for each in found]})
    elif not found:
        output.tell("no enrolled devices", {})
    else:
        rows = [[each.name or "-", _state(each, now), time_text(each.expires_s), each.device_id] for each in found]
        output.table(["name", "state", "certificate until", "device"], rows)


@cloud.command(epilog="Example: aerolink cloud revoke --state-dir state 2c72926e")
@_state_dir
@click.argument("device")
@common_options
def revoke(state_dir: Path, device: str, as_json: bool) -> None:
    """Refuse a device for good, by the beginning of its id; a running cloud does so from its next request on."""
    now = time.time()
    with _opened(state_dir) as folder:
        found = _matched(device, folder.records.devices())
        folder.records.revoke(found.device_id, now)
        (found,) = [each for each in folder.records.devices() if each.device_id == found.device_id]
    _output(as_json).tell(f"{found.device_id} ({found.name or 'no name'}) is revoked", _described(found, now))


@cloud.command(epilog="Example: aerolink cloud notify --state-dir state DRONE-FINGERPRINT PEER-FINGERPRINT")
@_state_dir
@click.argument("drone")
@click.argument("peer")
@common_options
def notify(state_dir: Path, drone: str, peer: str, as_json: bool) -> None:
    """Tell a drone, when it is next reachable, that a device paired with it is revoked, by their fingerprints."""
    from protocols.crypto.fingerprint import fingerprint_text, parse_key_id

    drone_id, peer_id = parse_key_id(drone), parse_key_id(peer)
    with _opened(state_dir) as folder:
        folder.records.add_notice(drone_id, peer_id, time.time())
        (notice,) = [n for n in folder.records.notices() if (n.drone, n.peer) == (drone_id, peer_id)]
    line = f"{fingerprint_text(drone_id)} will be told that {fingerprint_text(peer_id)} is revoked"
    _output(as_json).tell(line, _described_notice(notice))


@cloud.command(epilog="Example: aerolink cloud notices --state-dir state")
@_state_dir
@common_options
def notices(state_dir: Path, as_json: bool) -> None:
    """List the revocations that drones are told of, and which of them wait."""
    with _opened(state_dir) as folder:
        found = [_described_notice(each) for each in folder.records.notices()]
    output = _output(as_json)
    if as_json:
        output.tell("", {"notices": found})
    elif not found:
        output.tell("no notices", {})
    else:
        columns = ["drone", "peer", "state"]
        output.table(columns, [[str(each[column]) for column in columns] for each in found])


@cloud.command(epilog="Example: aerolink cloud clock --state-dir state --trust")
@_state_dir
@click.option("--trust", is_flag=True, help="Take the clock of now as right: the later time was the mistake.")
@common_options
def clock(state_dir: Path, trust: bool, as_json: bool) -> None:
    """Show the clock, and when something was last issued; a cloud whose clock is before that issues nothing."""
    from protocols.pki import time_text

    now = time.time()
    with _opened(state_dir) as folder:
        if trust:
            folder.records.trust_clock(now)
        issued_s = folder.records.last_time()
    issued = time_text(issued_s) if issued_s else "never"
    line = f"the clock says {time_text(now)}; last issued: {issued}"
    _output(as_json).tell(line, {"now_s": int(now), "last_issued_s": issued_s, "trusted": trust})


def _opened(state_dir: Path, *, create: bool = False) -> "AuthorityFolder":
    from nodes.pki.folder import FOLDER, AuthorityFolder

    return AuthorityFolder.open_beside(state_dir / FOLDER, time.time(), create=create)


def _matched(device: str, found: "Sequence[DeviceRecord]") -> "DeviceRecord":
    from protocols.errors import UsageError

    wanted = device.lower()
    if len(wanted) < _MIN_DIGITS:
        raise UsageError(f"give at least the first {_MIN_DIGITS} digits of the device's id")
    matches = [each for each in found if each.device_id.startswith(wanted)]
    if not matches:
        raise UsageError("no device has this id; `aerolink cloud devices` shows them")
    if len(matches) > 1:
        raise UsageError(f"{len(matches)} devices have ids that begin so: give more digits")
    return matches[0]


def _state(device: "DeviceRecord", now: float) -> str:
    if device.revoked_s is not None:
        return "revoked"
    return "enrolled" if now < device.expires_s else "expired"


def _described(device: "DeviceRecord", now: float) -> dict[str, object]:
    return {
        "device": device.device_id,
        "name": device.name,
        "state": _state(device, now),
        "enrolled_s": device.enrolled_s,
        "expires_s": device.expires_s,
        "revoked_s": device.revoked_s,
    }


def _described_notice(notice: "Notice") -> dict[str, object]:
    from protocols.crypto.fingerprint import fingerprint_text

    return {
        "drone": fingerprint_text(notice.drone),
        "peer": fingerprint_text(notice.peer),
        "state": "waits" if notice.delivered_s is None else "delivered",
        "asked_s": notice.asked_s,
        "delivered_s": notice.delivered_s,
    }


def _output(as_json: bool) -> "Output":
    from nodes.cli_keys import Output

    return Output(sys.stdout, sys.stderr, as_json)
