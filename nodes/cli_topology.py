"""``aerolink topology``."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from nodes.cli_options import common_options

if TYPE_CHECKING:
    from nodes.topology import Topology, TopologyLink

_ARROWS: Final = {"relay": ".. end to end ..>"}


@click.group(epilog="Example: aerolink topology list")
def topology() -> None:
    """Look at topologies: which nodes there are, and who has a link to whom."""


@topology.command("list", epilog="Example: aerolink topology list --json")
@common_options
def list_(as_json: bool) -> None:
    """List the topologies that come with the program, one a line, its name first."""
    from nodes.topology import find, shipped

    found = [find(name) for name in shipped()]
    if as_json:
        rows = [_head(each) | {"nodes": len(each.nodes)} for each in found]
        sys.stdout.write(json.dumps({"topologies": rows}) + "\n")
        return
    width = max(len(each.name) for each in found)
    for each in found:
        sys.stdout.write(f"{each.name:<{width}}  {each.topology.description}\n")


@topology.command(epilog="Example: aerolink topology show dual --toml > my.toml")
@click.argument("name")
@click.option("--toml", "as_toml", is_flag=True, help="Show the file itself, to begin one of your own with.")
@common_options
def show(name: str, as_toml: bool, as_json: bool) -> None:  # click's way
    """Show a topology, NAME being a file or one of the list: its nodes, and who makes a link to whom."""
    from nodes.topology import links_of, parse, source_of

    data, place = source_of(name)
    found = parse(data, place)
    if as_json:
        sys.stdout.write(json.dumps(_described(found) | ({"toml": data.decode()} if as_toml else {})) + "\n")
    elif as_toml:
        sys.stdout.write(data.decode())
    else:
        sys.stdout.write("\n".join(_picture(found, links_of(found))) + "\n")


@topology.command(epilog="Example: aerolink topology check my.toml")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@common_options
def check(file: Path, as_json: bool) -> int:
    """Show every problem of a topology FILE at once, each with its line; exit code 1 if there is one."""
    from nodes import cli_config
    from nodes.topology import check as problems_of

    return cli_config.run(file, sys.stdout, as_json=as_json, check=problems_of)


def _head(found: "Topology") -> dict[str, Any]:
    table = found.topology
    return {"name": table.name, "description": table.description, "seconds": table.seconds, "suite": table.suite.name}


def _described(found: "Topology") -> dict[str, Any]:
    from nodes.topology import links_of

    nodes = [{"name": name, **asdict(node), "role": node.role.name.lower()} for name, node in found.nodes.items()]
    links = [
        {"name": link.name, "from": link.maker, "to": link.answerer, "carrier": link.carrier}
        for link in links_of(found)
    ]
    return _head(found) | {"nodes": nodes, "links": links, "expects": asdict(found.expects)}


def _picture(found: "Topology", links: "tuple[TopologyLink, ...]") -> list[str]:
    """Return a topology as lines: its nodes, and below each the links that it makes."""
    table = found.topology
    width = max(map(len, found.nodes))
    lines = [f"{table.name}: {table.description}", f"{table.seconds:g} s, {table.suite.name}", ""]
    for name, node in found.nodes.items():
        plays = f", plays {node.plays}{f' with {node.partner}' if node.partner else ''}" if node.plays != "none" else ""
        lines.append(f"{name:<{width}}  {_what(node.role.name.lower(), bool(node.cloud))}{plays}")
        for link in links:
            if link.maker == name:
                arrow = _ARROWS.get(link.carrier, f"--{link.carrier}-->")
                lines.append(f"{'':<{width}}    {arrow} {link.answerer}")
    return lines


def _what(role: str, has_cloud: bool) -> str:
    return "rc, a dock" if role == "rc" and has_cloud else role
