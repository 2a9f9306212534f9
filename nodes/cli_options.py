"""Options that several commands have, and what they accept."""

import math
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


def show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the version of the installed distribution."""
    if wanted:
        from nodes.packages import home, release

        click.echo(f"aerolink {release()} from {home()}")
        context.exit()


def _set_up_logs(context: click.Context, _option: click.Parameter, level: str | None) -> str | None:
    """Send log records to stderr; the command's own option goes before that of the group."""
    if level is not None:
        from nodes import logs

        context.ensure_object(dict)["log_level"] = level
        logs.set_up(level, sys.stderr)
    return level


def LogLevelOption(command: _Command) -> _Command:  # noqa: N802
    """``--log-level``."""
    option = click.option(
        "--log-level",
        type=click.Choice(LOG_LEVELS, case_sensitive=False),
        callback=_set_up_logs,
        expose_value=False,
        help="Log to stderr what is at least this severe.",
    )
    return option(command)


def log_level(default: str = "warning") -> str:
    """Return what was asked for, and see to it that logging is set up."""
    found = cast("dict[str, str] | None", click.get_current_context().find_object(dict))
    chosen = found.get("log_level") if found else None
    if chosen is None:
        from nodes import logs

        logs.set_up(default, sys.stderr)
    return chosen or default


def common_options(command: _Command) -> _Command:
    """Options of every command."""
    json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
    return json_option(LogLevelOption(command))


class FiniteRange(click.FloatRange):
    """A number in a range; "not a number" compares with nothing, so the range alone would let it pass."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class SuiteName(click.ParamType[str, str]):
    """A suite by its name, in any case, or by a whole Noise protocol name."""

    name = "suite"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from protocols.crypto.suites import suite_by_name
        from protocols.errors import UnsupportedError

        *_, name = value.split("_", 2) if value.lower().startswith("noise_") else (value,)
        try:
            return suite_by_name(name).name
        except UnsupportedError as error:
            self.fail(str(error), param, ctx)
