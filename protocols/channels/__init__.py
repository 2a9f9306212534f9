"""The classes of service of specs/3-channels.md, one module each, behind one multiplexer: :class:`Channels`."""

from protocols.channels.base import NOTHING_HELD, ChannelsStats, ClassStats, Held, StreamRun
from protocols.channels.mux import HANDLED_TYPES, Channels

__all__ = ["HANDLED_TYPES", "NOTHING_HELD", "Channels", "ChannelsStats", "ClassStats", "Held", "StreamRun"]
