"""What an uplink tells whoever embeds it. Callbacks run on the trio loop; they neither wait nor raise."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.uplink.hop import CloudHop
from nodes.uplink.outbox import Parcel
from nodes.uplink.states import UplinkState
from nodes.uplink.uploads import UploadEnd, UploadProgress
from specs.cloudlink import DownlinkMessage


def _nothing(*_: object) -> None:
    """Whoever does not care."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkEvents:
    """Each may be left out."""

    on_state: Callable[[UplinkState, str], None] = field(default=_nothing)
    """The state changed; and why, one line for people, empty where there is nothing to say."""
    on_progress: Callable[[UploadProgress], None] = field(default=_nothing)
    """A log came further."""
    on_upload: Callable[[UploadEnd], None] = field(default=_nothing)
    """A log is stored, held, or refused for good: the last is worth an alarm."""
    on_refused: Callable[[Parcel, str], None] = field(default=_nothing)
    """The cloud will not take telemetry or alarms, for this reason: they are lost, and worth an alarm."""
    on_message_refused: Callable[[int, DownlinkMessage, str], None] = field(default=_nothing)
    """A message of the cloud was passed over, since its handler will not take it: worth an alarm."""
    on_hop: Callable[[CloudHop], None] = field(default=_nothing)
    """The cloud is a neighbour for relays from now on, until this connection ends: ``station.attach``."""
    on_storage: Callable[[str], None] = field(default=_nothing)
    """The outbox could not be written: what was to be kept waits in memory; worth an alarm."""
