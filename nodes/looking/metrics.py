"""What is counted of a node, in OpenMetrics: families made from its status each time that somebody asks.

Names and units as https://prometheus.io/docs/practices/naming/ wants them. Labels take few values: classes, ways,
kinds of alarms, and fingerprints of devices that this node is paired with.
"""

from collections.abc import Callable, Iterator
from typing import Final, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition
from prometheus_client.registry import Collector

from nodes.looking.status import LinkStatus, NodeStatus

__all__ = ["CONTENT_TYPE", "Exposition"]

CONTENT_TYPE: Final = exposition.CONTENT_TYPE_LATEST
_generate: Final = cast("Callable[[CollectorRegistry], bytes]", getattr(exposition, "generate_latest"))  # noqa: B009
"""The function has no types."""
_LINK: Final = ("link", "peer", "role")


class Exposition(Collector):
    """The metrics of one node."""

    def __init__(self, status: Callable[[], NodeStatus]) -> None:
        """``status``: how the node is now."""
        self._status = status
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return everything as it is served; the last line is ``# EOF``."""
        return _generate(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: what there is depends on who is there."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Make the families."""
        status = self._status()
        yield InfoMetricFamily("aerolink_build", "Software of this node.", {"version": status.version})
        yield InfoMetricFamily("aerolink_node", "This node.", {"name": status.name, "role": status.role})
        yield _uptime(status)
        yield from _links(status.links)
        yield from _messages(status.links)
        yield _rights(status)
        yield _alarms(status)
        if status.role == "cloud":
            yield CounterMetricFamily(
                "aerolink_live_messages", "Telemetry that came to the cloud while it was made.", status.live
            )


def _uptime(status: NodeStatus) -> Metric:
    return GaugeMetricFamily("aerolink_uptime_seconds", "Time since the node began.", status.uptime_s, unit="seconds")


def _links(links: tuple[LinkStatus, ...]) -> Iterator[Metric]:
    up = GaugeMetricFamily("aerolink_link_up", "Whether a link is up: authenticated and encrypted.", labels=_LINK)
    made = CounterMetricFamily("aerolink_link_handshakes", "How often a link came up.", labels=_LINK)
    shake = GaugeMetricFamily(
        "aerolink_handshake_seconds", "Duration of the last handshake.", labels=_LINK, unit="seconds"
    )
    trip = GaugeMetricFamily(
        "aerolink_link_round_trip_seconds", "Smoothed round trip, while a link is up.", labels=_LINK, unit="seconds"
    )
    rekeys = CounterMetricFamily("aerolink_rekeys", "New keys since the first of each link.", labels=_LINK)
    for link in links:
        labels = (link.name, link.peer, link.role)
        up.add_metric(labels, int(link.up))
        made.add_metric(labels, link.times)
        rekeys.add_metric(labels, link.rekeys)
        if link.times:
            shake.add_metric(labels, link.handshake_ms / 1_000)
        if link.rtt_ms is not None:
            trip.add_metric(labels, link.rtt_ms / 1_000)
    yield from (up, made, shake, trip, rekeys)


def _messages(links: tuple[LinkStatus, ...]) -> Iterator[Metric]:
    passed = CounterMetricFamily(
        "aerolink_messages", "Messages of a class of service.", labels=(*_LINK, "class", "direction")
    )
    lost = CounterMetricFamily(
        "aerolink_messages_lost", "Messages of a class of service that did not arrive here.", labels=(*_LINK, "class")
    )
    for link in links:
        for name, counts in link.classes.items():
            labels = (link.name, link.peer, link.role, name)
            for way in ("sent", "received"):
                passed.add_metric((*labels, way), counts.get(way, 0))
            lost.add_metric(labels, counts.get("lost", 0))
    yield from (passed, lost)


def _rights(status: NodeStatus) -> Metric:
    held = GaugeMetricFamily(
        "aerolink_right_held", "Who has a right to a drone; 1.", labels=("drone", "right", "holder", "holder_id")
    )
    for each in status.held:
        held.add_metric((each.drone, each.right, each.holder, each.holder_id), 1)
    return held


def _alarms(status: NodeStatus) -> Metric:
    family = CounterMetricFamily("aerolink_alarms", "Alarms of a kind.", labels=("kind",))
    for alarm in status.alarms:
        family.add_metric((alarm.kind,), alarm.count)
    return family
