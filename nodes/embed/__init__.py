"""Aerolink from programs that are not written in trio: synchronous ones, and those of asyncio.

trio runs in a thread of its own, behind anyio's blocking portal. ``open_portal`` is for synchronous code,
``open_bridge`` for asyncio: both call functions there, hold context managers open, iterate, and run things in the
background. Nodes, links and stations are the same objects: call their methods through the portal, read their
attributes as you like. What they call back (``station.see``, ``on_event``) runs in the trio thread, and must not wait.
"""

from nodes.embed.bridge import Bridge, BridgeEach, BridgeTask, open_bridge
from nodes.embed.portal import Each, Portal, PortalTask, open_portal

__all__ = ["Bridge", "BridgeEach", "BridgeTask", "Each", "Portal", "PortalTask", "open_bridge", "open_portal"]
