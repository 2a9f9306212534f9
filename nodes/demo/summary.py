"""The closing summary of a demo."""

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nodes.config.reader import one_line
from nodes.demo.chain_report import LINKS, ChainReport
from nodes.demo.report import Report
from nodes.stations.base import RELAY
from nodes.stations.notes import Delivered, LinkIsUp
from nodes.stations.sentences import CARRIERS


def summary(report: Report | ChainReport, *, decorated: bool) -> RenderableType:
    """Return what was shown, as a table; ``decorated`` draws its box."""
    table = Table(box=ROUNDED if decorated else None, show_header=False, pad_edge=decorated)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _rows(report) if isinstance(report, Report) else _chain_rows(report):
        table.add_row(name, Text(one_line(text)))
    return Group(table, *(Text(one_line(f"not ok: {line}"), "bold red") for line in report.problems))


def _rows(report: Report) -> list[tuple[str, str]]:
    rows = [("demo", "ok" if report.ok else "NOT OK")]
    up = report.links.get("rc")
    if up is not None:
        rekeys = max((end.rekeys for end in report.ends.values()), default=0)
        rows.append(("link", f"{up.suite} over {report.options.carrier.upper()}, {_plural(rekeys, 'rekey')}"))
        rows.append(("handshake", f"{up.handshake_ms:.1f} ms"))
    if report.ends:
        rows += [
            (name, f"{row['sent']:,} sent, {row['received']:,} received") for name, row in report.by_class().items()
        ]
    return rows + _flight_rows(report, report.delivered)


def _chain_rows(report: ChainReport) -> list[tuple[str, str]]:
    rows = [("demo", "ok" if report.ok else "NOT OK")]
    rows += [(name, _link(report, name, report.links[name])) for name in LINKS if name in report.links]
    moves = [f"{each.before} to {each.after} at {each.at_s:.1f} s" for each in report.hand_overs]
    rows.append(("right to fly", "handed over: " + ", ".join(moves) if moves else "never handed over"))
    rows.append(("live", f"{_plural(report.live, 'message')} of telemetry at the cloud"))
    return rows + _flight_rows(report, report.delivered[-1] if report.delivered else None)


def _link(report: ChainReport, name: str, up: LinkIsUp) -> str:
    way = "end to end" if up.carrier == RELAY else f"over {CARRIERS.get(up.carrier, up.carrier)}"
    rekeys = "" if up.carrier == "https" else f", {_plural(report.rekeys(name), 'rekey')}"
    return f"{up.suite} {way}, handshake {up.handshake_ms:.1f} ms{rekeys}"


def _flight_rows(report: Report | ChainReport, delivered: Delivered | None) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    flight = report.flight
    if flight is not None:
        skipped = f", {flight.skipped_bytes:,} bytes of the log skipped" if flight.skipped_bytes else ""
        rows.append(("flight", f"{flight.source}: {flight.messages:,} messages, {flight.bytes:,} bytes{skipped}"))
        rows.append(("sha256 sent", flight.sha256))
    if delivered is not None:
        rows.append(("sha256 arrived", delivered.sha256))
        took = f"{delivered.messages:,} messages in {delivered.seconds:.3f} s"
        rows.append(("delivered", f"{took}, at the {delivered.node}"))
    drone, rc = report.ends.get("drone"), report.ends.get("rc")
    if drone is not None and rc is not None:
        rows.append(("video", f"{rc.frames:,} of {drone.frames:,} frames unharmed, {rc.frames_corrupt} corrupt"))
    rows.append(("alarms", str(len(report.alarms) or "none")))
    return rows


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
