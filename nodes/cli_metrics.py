"""``--metrics``, which every command has that runs a node."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nodes.config import Config
    from nodes.config.endpoint import Endpoint

_Command = TypeVar("_Command", bound=Callable[..., Any])


class MetricsPlace(click.ParamType["Endpoint", "Endpoint | str"]):
    """HOST:PORT, or a port of the loopback."""

    name = "place"

    def convert(self, value: "Endpoint | str", param: click.Parameter | None, ctx: click.Context | None) -> "Endpoint":
        from nodes.config.endpoint import parse_endpoint
        from protocols.errors import ConfigError

        if not isinstance(value, str):
            return value
        try:
            return parse_endpoint(f"127.0.0.1:{value}" if value.isdecimal() else value)
        except ConfigError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


def MetricsOption(command: _Command) -> _Command:  # noqa: N802
    """``--metrics``."""
    option = click.option(
        "--metrics",
        "metrics",
        metavar="[HOST:]PORT",
        type=MetricsPlace(),
        help="Serve metrics there in OpenMetrics, over HTTP without any protection, in the place of what the "
        "configuration says; a bare port is one of the loopback.",
    )
    return option(command)


def with_metrics(config: "Config", metrics: "Endpoint | None") -> "Config":
    """Return a configuration with another place for metrics, if one was given."""
    return config if metrics is None else replace(config, look=replace(config.look, metrics=metrics))
