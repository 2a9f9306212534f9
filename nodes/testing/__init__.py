"""Tools for the tests of whoever embeds our nodes: a network in memory."""

from nodes.testing.network import Datagram, MemoryNetwork, stream_pair

__all__ = ["Datagram", "MemoryNetwork", "stream_pair"]
