"""The closing summary of a demo."""

from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nodes.config.reader import one_line
from nodes.demo.chain_report import LINKS, ChainReport
from nodes.demo.report import Report
from nodes.stations.notes import Delivered


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
    for name, up in sorted(report.links.items(), key=lambda item: list(LINKS).index(item[0])):
        rows.append((name, f"{up.suite} over {up.carrier.upper()}, handshake {up.handshake_ms:.1f} ms"))
    rows += [
        ("authority", f"{each.right} from {each.before} to {each.after} at {each.at_s:.1f} s")
        for each in report.hand_overs
    ]
    rows.append(("live", f"{_plural(report.live, 'message')} of telemetry at the cloud"))
    return rows + _flight_rows(report, report.delivered[-1] if report.delivered else None)


def _flight_rows(report: Report | ChainReport, delivered: Delivered | None) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    flight = report.flight
    if flight is not None:
        skipped = f", {flight.skipped_bytes:,} bytes of the log skipped" if flight.skipped_bytes else ""
        rows.append(("flight", f"{flight.source}: {flight.messages:,} messages, {flight.bytes:,} bytes{skipped}"))
        rows.append(("sha256 sent", flight.sha256))
    if delivered is not None:
        rows.append(("sha256 arrived", delivered.sha256))
        rows.append(("delivered", f"{delivered.messages:,} messages in {delivered.seconds:.3f} s"))
    drone, rc = report.ends.get("drone"), report.ends.get("rc")
    if drone is not None and rc is not None:
        rows.append(("video", f"{rc.frames:,} of {drone.frames:,} frames unharmed, {rc.frames_corrupt} corrupt"))
    rows.append(("alarms", str(len(report.alarms) or "none")))
    return rows


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
