"""Sizes of messages (specs/http-front.md, HF-20 to HF-23)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Of one request or response."""

    head_bytes: int = 16_384
    """Start line, fields and the empty line."""
    target_bytes: int = 2_048
    """What stands between method and version."""
    fields: int = 64
    """Lines of the head behind the first."""
    body_bytes: int = 2_097_152
    """What follows the head, without its framing."""
