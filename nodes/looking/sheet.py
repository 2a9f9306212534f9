"""A status as lines for a person: what `aerolink status` prints."""

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from nodes.config.reader import one_line
from nodes.looking.picture import CLOSED, OPEN
from nodes.looking.status import NOBODY, LinkStatus, NodeStatus
from nodes.stations.sentences import CARRIERS, who

_RIGHTS: Final = {"flight": "may fly", "payload": "payload"}
_EVENTS: Final = 5
_SHORT: Final = 9
"""Two groups of a fingerprint."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def sheet_of(status: NodeStatus) -> Iterator[Text]:
    """Yield the lines about a node."""
    name = Text(one_line(status.name), "bold")
    if not status.running:
        yield Text.assemble(name, ": ", (one_line(status.why), "bold red"))
        return
    parts = [status.role, f"process {status.pid}", f"running for {lasting(status.uptime_s)}", *status.ids[:1]]
    yield Text.assemble(name, f": {one_line(', '.join(parts))}")
    for link in status.links:
        yield from _link(link)
    if not status.links:
        yield _row("links", Text("none yet", "yellow"))
    for each in status.held:
        drone = f" (drone {each.drone[:_SHORT]})" if each.drone else ""
        style = "yellow" if each.holder == NOBODY else "bold cyan"
        holder = who(each.holder, each.holder_id)
        yield _row(_RIGHTS.get(each.right, each.right), Text.assemble((one_line(holder), style), one_line(drone)))
    if status.vehicle:
        yield _row("vehicle", Text(one_line(status.vehicle)))
    for drone, doing in status.drones.items():
        yield _row("sees", Text(one_line(f"drone {drone[:_SHORT]}: {doing}")))
    if status.live:
        yield _row("live", Text(f"{status.live:,} messages of telemetry"))
    for alarm in status.alarms:
        last = "".join(alarm.texts[-1:])
        yield _row("alarm", Text(one_line(f"{alarm.kind}, {alarm.count} in all: {last}"), "bold red"))
    for event in status.latest[-_EVENTS:]:
        yield _row("latest", Text(one_line(event), "dim"))


def _link(link: LinkStatus) -> Iterator[Text]:
    style = "green" if link.up else "red"
    over = f" over {CARRIERS.get(link.carrier, link.carrier)}" if link.carrier else ""
    yield Text.assemble(
        "  ",
        (CLOSED if link.up else OPEN, f"bold {style}"),
        one_line(f" {link.name}{over} with {link.role} {link.peer}"),
    )
    yield Text.assemble("      ", (one_line(link.suite if link.up else f"open: {link.reason}"), style))
    yield Text(f"      {one_line(', '.join(_numbers(link)))}", "dim")


def _numbers(link: LinkStatus) -> Iterator[str]:
    yield f"{'up' if link.up else 'down'} for {lasting(link.since_s)}"
    if link.times > 1:
        yield f"came up {link.times} times"
    if link.times:
        yield f"handshake {link.handshake_ms:.1f} ms"
    if link.rtt_ms is not None:
        yield f"round trip {link.rtt_ms:.1f} ms"
    yield f"{link.rekeys} rekeys"
    for way in ("sent", "received", "lost"):
        yield f"{sum(row.get(way, 0) for row in link.classes.values()):,} {way}"


def _row(name: str, text: Text) -> Text:
    return Text.assemble("  ", (f"{one_line(name):<8}", "bold"), " ", text)


def lasting(seconds: float) -> str:
    """Return a duration in its two largest units."""
    rest, parts = max(0, int(seconds)), list[str]()
    for size, unit in _UNITS:
        if rest >= size or (unit == "s" and not parts):
            parts.append(f"{rest // size} {unit}")
        rest %= size
    return " ".join(parts[:2])
