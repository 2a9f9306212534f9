"""``--plot FILE``: figures beside their peers, cost against message size, cost against the number of links."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.bench.harness.model import Json

_OURS, _PEER, _TARGET = "#1f6f8b", "#c9c9c9", "#b3472d"
_LINES: Final = (("sweep-message-sizes", "bytes of a message"), ("sweep-link-counts", "links"))


def draw(report: Json, file: Path) -> None:
    """Draw a report into a file; its suffix says in what format."""
    import_module("matplotlib").use("Agg")
    plot: Any = import_module("matplotlib.pyplot")
    figure, axes = plot.subplots(1, 3, figsize=(19, 11), width_ratios=(1.6, 1, 1))
    _bars(axes[0], [entry for entry in report["figures"] + report["more"] if entry["ratio"] is not None])
    for axis, (name, label) in zip(axes[1:], _LINES, strict=True):
        _line(axis, next((entry for entry in report["more"] if entry["name"] == name), None), name, label)
    machine = report["machine"]
    figure.suptitle(f"{machine['processor']}, {machine['cores']} cores, {machine['kernel']}, {machine['python']}")
    figure.tight_layout()
    figure.savefig(file)
    plot.close(figure)


def _bars(axis: Any, entries: list[Json]) -> None:
    """Ours as a multiple of the peer: a bar from 1, which is the peer, to the ratio; a stroke is the target."""
    entries.reverse()
    places = range(len(entries))
    axis.barh(places, [entry["ratio"] - 1 for entry in entries], left=1, height=0.6, color=_OURS)
    for place, entry in zip(places, entries, strict=True):
        if "target" in entry:
            axis.plot([entry["target"]] * 2, [place - 0.4, place + 0.4], color=_TARGET, linewidth=2)
        axis.text(entry["ratio"], place, f" {entry['ratio']:.3g}", va="center", fontsize=8)
    axis.axvline(1, color=_PEER, linewidth=2, zorder=0)
    axis.set_yticks(list(places), [_label(entry) for entry in entries], fontsize=7)
    if entries:
        axis.set_xscale("log")
    axis.set_title("ours as a multiple of the peer (grey: the peer; red: the target)", fontsize=9)


def _label(entry: Json) -> str:
    better = ", less is better" if entry.get("targets_sense") == "<=" else ""
    return f"{entry['name']}\nbeside {entry['peer_name']}{better}"


def _line(axis: Any, sweep: Json | None, name: str, label: str) -> None:
    if sweep is None or "points" not in sweep:
        axis.set_title(f"{name}: not measured", fontsize=9)
        return
    points = sweep["points"]
    for side, color, title in (("ours", _OURS, "ours"), ("peer", "#808080", sweep["peer_name"])):
        known = [(point["x"], point[side]) for point in points if point[side] is not None]
        if known:
            axis.plot(*zip(*known, strict=True), marker="o", color=color, label=title)
    axis.set_xscale("log", base=2 if label.startswith("bytes") else 10)
    if sweep["peer_name"] is None:
        axis.set_ylim(bottom=0)
    else:
        axis.set_yscale("log")
    axis.set_xlabel(label)
    axis.set_ylabel(f"{sweep['unit']} per message")
    axis.set_title(name, fontsize=9)
    axis.grid(visible=True, which="both", alpha=0.2)
    axis.legend()
