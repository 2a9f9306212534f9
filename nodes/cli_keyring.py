"""``aerolink keys``: the node's own keys and its paired devices."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nodes.cli_options import common_options

if TYPE_CHECKING:
    from nodes.cli_keys import Output

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group(epilog="Example: aerolink keys generate --state-dir state")
def keys() -> None:
    """Make and show the keys of a node, list, revoke and forget the devices that it is paired with."""


def _state_dir(command: _Command) -> _Command:
    option = click.option(
        "--state-dir",
        type=click.Path(path_type=Path, readable=False),
        default=Path("state"),
        show_default=True,
        help="The node's folder.",
    )
    return option(command)


def _dh(default: str | None) -> Callable[[_Command], _Command]:
    text = "DH function of the key (P256, 25519 or 448), or a suite that uses it."
    return click.option("--dh", "name", default=default, show_default=default is not None, help=text)


@keys.command(epilog="Example: aerolink keys generate --state-dir state --dh P256")
@_state_dir
@_dh("P256")
@click.option("--force", is_flag=True, help="Replace a key; every pairing made with it ends.")
@common_options
def generate(state_dir: Path, name: str, force: bool, as_json: bool) -> int:
    """Make the node's static key."""
    from nodes import cli_keys

    return cli_keys.generate(state_dir, name, _output(as_json), force=force)


@keys.command(epilog="Example: aerolink keys show --state-dir state")
@_state_dir
@_dh(None)
@common_options
def show(state_dir: Path, name: str | None, as_json: bool) -> int:
    """Show the fingerprints of the node's own keys."""
    from nodes import cli_keys

    return cli_keys.show(state_dir, name, _output(as_json))


@keys.command(epilog="Example: aerolink keys export --state-dir state --dh P256")
@_state_dir
@_dh("P256")
@common_options
def export(state_dir: Path, name: str, as_json: bool) -> int:
    """Print the public half of a key (PEM)."""
    from nodes import cli_keys

    return cli_keys.export(state_dir, name, _output(as_json))


@keys.command("list", epilog="Example: aerolink keys list --state-dir state")
@_state_dir
@common_options
def list_peers(state_dir: Path, as_json: bool) -> int:
    """List the paired devices."""
    from nodes import cli_keys

    return cli_keys.list_peers(state_dir, _output(as_json))


@keys.command(epilog="Example: aerolink keys revoke --state-dir state 4kqz-7m2a")
@_state_dir
@click.argument("fingerprint")
@common_options
def revoke(state_dir: Path, fingerprint: str, as_json: bool) -> int:
    """Revoke a paired device, by the beginning of its fingerprint; the node must not be running."""
    from nodes import cli_keys

    return cli_keys.revoke(state_dir, fingerprint, _output(as_json))


@keys.command(epilog="Example: aerolink keys forget --state-dir state 4kqz-7m2a")
@_state_dir
@click.argument("fingerprint")
@common_options
def forget(state_dir: Path, fingerprint: str, as_json: bool) -> int:
    """Forget a device, which also lifts its revocation; the node must not be running."""
    from nodes import cli_keys

    return cli_keys.forget(state_dir, fingerprint, _output(as_json))


def _output(as_json: bool) -> "Output":
    from nodes.cli_keys import Output

    class Direct(Output):
        """Errors go to the one place that maps them."""

        def run(self, action: Callable[[], None]) -> int:
            action()
            return 0

    return Direct(sys.stdout, sys.stderr, as_json)
