"""Which nodes are looked at: what `aerolink status` and `aerolink monitor` have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nodes.looking.watching import Target

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEFAULT = Path("state")


def which_nodes(command: _Command) -> _Command:
    """``--config`` and ``--state-dir``, each as often as one likes."""
    by_config = click.option(
        "--config",
        "configs",
        multiple=True,
        type=click.Path(path_type=Path, readable=False),
        help="Configuration of a node to look at. Repeat it as you like.",
    )
    by_folder = click.option(
        "--state-dir",
        "folders",
        multiple=True,
        type=click.Path(path_type=Path, readable=False),
        help="State folder of a node to look at. Repeat it as you like; by default `state`.",
    )
    return by_config(by_folder(command))


def targets_of(configs: tuple[Path, ...], folders: tuple[Path, ...]) -> "list[Target]":
    """Return the nodes that were named, each once; ConfigError."""
    from nodes.config import load
    from nodes.looking.watching import Target

    loaded = [load(path) for path in configs]
    found = [Target(config.name, config.node.role.name.lower(), config.node.state_dir) for config in loaded]
    found += [Target(folder.name, "", folder) for folder in (folders if folders or configs else (_DEFAULT,))]
    return list({target.folder.absolute(): target for target in reversed(found)}.values())[::-1]
