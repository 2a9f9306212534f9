"""The way to a cloud from a configuration, of a mobile or a dock, and how the device is enrolled there."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from nodes.config import Config
from nodes.stations.cloudway import CloudWay
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_way
from nodes.uplink.enrolling import enrol
from nodes.working.errands import Errands


@asynccontextmanager
async def cloud_way(config: Config, errands: Errands, say: Say) -> AsyncGenerator[CloudWay | None]:
    """Open what is kept for the cloud, enrolled if that is an errand; None for a node that goes to no cloud.

    ConfigError, StorageError, and the errors of :func:`nodes.uplink.enrolling.enrol`.
    """
    if not config.has_cloud:
        yield None
        return
    async with open_way(config.node.state_dir) as way:
        if errands.token is not None:
            await enrol(config.cloud.enrolment, errands.token, way.credentials)
            say(Line(config.name, f"enrolled at the cloud as device {way.credentials.device_id}"))
        yield way
