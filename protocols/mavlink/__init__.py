"""MAVLink as bytes that pass through: whole frames, and nothing of what they say (specs/11-mavlink.md)."""

from protocols.mavlink.splitter import MAX_FRAME_BYTES, FrameChecks, FrameSplitter

__all__ = ["MAX_FRAME_BYTES", "FrameChecks", "FrameSplitter"]
