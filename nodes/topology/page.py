"""docs/topology.md, made from the dataclasses of a topology and the docstrings of their fields."""

from pathlib import Path
from typing import Final

from nodes.config.page import sections
from nodes.topology import find, shipped, source_of, tables
from nodes.topology.alarms import AFTER_RESTART, CONSEQUENCE_S
from nodes.topology.nodeconfig import TIMES
from nodes.topology.tables import TABLES

PAGE: Final = Path(__file__).parents[2] / "docs" / "topology.md"
"""Where the page stands in a working copy; ``python -m nodes.topology.page`` writes it."""
_SHOWN: Final = "dual"
_HEAD: Final = """\
# Topologies

A topology is a number of nodes with links between them. `aerolink run` sets them up and runs them on this machine;
each is a node as `aerolink node` runs it, with keys, a folder and a configuration of its own.

    aerolink topology list
    aerolink topology show dual
    aerolink run dual
    aerolink run swarm --processes --restart rc@10 --json

For a topology of your own, begin with one of those (`aerolink topology show dual --toml > my.toml`), let
`aerolink topology check my.toml` report every problem with its line, and `aerolink run my.toml`. This is `dual`:

"""
_RUN: Final = """\
## A run

1. The nodes get keys. They are paired and enrolled as persons would do it: the stations run, over loopback, and
   linking codes and tokens are carried from one to the other in memory. With `--folder` all of it is kept, and a
   second run there begins with step 2; one at a time. Without it there is a temporary folder, its owner's alone, and it
   is gone at the end, unless the run itself was struck down (SIGKILL): then it stays, with keys in it.
2. Each node gets its `node.toml`, in `FOLDER/nodes/NAME/`, with ports that are free at this moment, and runs: in this
   process, or with `--processes` as `aerolink node ROLE --config FILE --json` in one of its own.
3. A node that dies is started again after a second, and after up to 8 s if it dies again and again. Kill one as you
   like: its process is told on stderr (`started rc (pid 4242)`). `--restart NAME@SECONDS` kills one on purpose.
4. When the time is over there is a verdict. What is not there yet has 15 s more.

Meanwhile each node can be looked at as any other: `aerolink status --config FOLDER/nodes/rc/node.toml`.

The verdict is `ok`, and the exit code 0, when

- every link of the topology is up: both ends say so (of HTTPS the end that makes it),
- telemetry of every drone has come to each of its remote controllers within the last 3 s,
- telemetry has come to every cloud within the last 5 s,
- what `[expects]` asks for has happened, if the run was not shorter than the topology's own `seconds`,
- every node is there, and no node has ended by itself: being killed is no fault, a crash is,
- whom `--restart` names was killed as often as it says,
- there was no alarm, but for those of a restart (below).

The last line of `--json`:

| key | holds |
|---|---|
| `ok` | the verdict |
| `topology`, `seconds` | its name, and for how long it was to run |
| `nodes[]` | `name`, `role`, `starts`, `pid` (the last; null: no process of its own) |
| `links[]` | `name` (its kind), `from` (who makes it), `to`, `carrier`, `suite`, `up`, `times`, `messages` |
| `authority[]` | hand-overs: `drone`, `right`, `before`, `after` (names), `at_s` |
| `flights[]` | flights that a cloud has verified, unsealed and stored: `cloud`, `drone`, `flight`, `messages` |
| `alarms[]` | `node`, `kind`, `text`, `at_s` |
| `problems[]` | why it is not `ok`, a line each |

`times` is how often a link came up, and `messages` how many both ends have received; over HTTPS, how many messages of
telemetry the cloud has got from all its devices. `at_s` is in seconds since the run began. Everything listens on
127.0.0.1.

## The file

A key or table that is not listed here is an error. This part is made from `nodes/topology/tables.py` by
`python -m nodes.topology.page`.
"""


def page() -> str:
    """Return the reference as Markdown."""
    example = source_of(_SHOWN)[0].decode().splitlines()
    quoted = [f"    {line}".rstrip() for line in example]
    parts = [*quoted, "", *_shipped(), _RUN, *sections(TABLES, tables), *_times(), *_alarms()]
    return _HEAD + "\n".join(parts)


def _shipped() -> list[str]:
    rows = [f"| `{name}` | {find(name).topology.description} |" for name in shipped()]
    return ["These come with the program:", "", "| name | what it is |", "|---|---|", *rows, ""]


def _times() -> list[str]:
    rows = [f"| `{key}` in `[{table}]` | {value:g} | {why} |" for (table, key), (value, why) in TIMES.items()]
    head = "Every node of a run has these in its configuration, so that links come back a few seconds after a kill:"
    return ["## Times", "", head, "", "| key | seconds | why |", "|---|---|---|", *rows, ""]


def _alarms() -> list[str]:
    head = (
        f"These are no fault at a node that has died, or at a drone to which it has a link, up to {CONSEQUENCE_S:g} s\n"
        "after its death; at any other time, and anywhere else, each of them is one:"
    )
    rows = [f"| `{kind.name}` | {why} |" for kind, why in AFTER_RESTART.items()]
    return ["## Alarms after a restart", "", head, "", "| alarm | why |", "|---|---|", *rows, ""]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
