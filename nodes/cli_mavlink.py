"""``--mavlink``, which several commands have."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nodes.config.mavlink import MavlinkEndpoint

_Command = TypeVar("_Command", bound=Callable[..., Any])


class MavlinkPort(click.ParamType["MavlinkEndpoint", "str | MavlinkEndpoint"]):
    """A port for MAVLink, as the configuration writes it."""

    name = "port"

    def convert(
        self, value: "str | MavlinkEndpoint", param: click.Parameter | None, ctx: click.Context | None
    ) -> "MavlinkEndpoint":
        from nodes.config.mavlink import parse_mavlink_endpoint
        from protocols.errors import ConfigError

        if not isinstance(value, str):
            return value
        try:
            return parse_mavlink_endpoint(value)
        except ConfigError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def MavlinkOption(command: _Command) -> _Command:  # noqa: N802
    """``--mavlink``."""
    option = click.option(
        "--mavlink",
        "mavlink",
        metavar="PORT",
        multiple=True,
        type=MavlinkPort(),
        help="Where MAVLink comes from and goes to, in the place of what the configuration says: udpin:HOST:PORT, "
        "udpout:..., tcp:..., tcpin:... or serial:DEVICE:BAUD. At a drone one; elsewhere repeat it as you like.",
    )
    return option(command)
