"""The classes of service of specs/3-channels.md, one module each, behind one multiplexer: :class:`Channels`."""

from protocols.channels.base import ChannelsStats, ClassStats
from protocols.channels.mux import HANDLED_TYPES, Channels

__all__ = ["HANDLED_TYPES", "Channels", "ChannelsStats", "ClassStats"]
