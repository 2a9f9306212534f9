"""What the cloud's answers other than 200 mean for a device, by what to do next (specs/9-cloudlink.md, 9.2)."""

from typing import Final

from nodes.https import StatusError
from protocols.errors import AerolinkError, PeerError, PolicyError


class CloudBusyError(PeerError):
    """The cloud cannot take this now; nothing has changed there (CL-9). The same again later."""

    advice = "Nothing: it is tried again with growing waits. If it stays so, look at the cloud's log."


class CloudFullError(CloudBusyError):
    """There is no room at the cloud, or this device's quota is used up (507). The same again later."""

    advice = (
        "Make room at the cloud: a device has 16 GiB there unless its program says otherwise. What waits here stays."
    )


class CloudGoneError(PolicyError):
    """What was asked for is not there, or is not ours: this device is refused, or an upload was removed (404)."""

    advice = (
        "If the device was revoked, enrol it anew with an empty `pki` folder; else nothing, an upload is begun again."
    )


class CloudRefusedError(PolicyError):
    """The cloud will not take these bytes, now or later (400, 413)."""

    advice = "Compare the versions of device and cloud; what is too large stays here."


class CloudDeniedError(PolicyError):
    """The cloud does not let this device do it (403), or does not know how (405)."""

    advice = (
        "Compare the versions of device and cloud, and look whether the device is enrolled there (`aerolink "
        "cloud devices`)."
    )


_ERRORS: Final = {
    400: (CloudRefusedError, "the cloud does not understand it: is one of the two out of date?"),
    403: (CloudDeniedError, "the cloud refuses it"),
    404: (CloudGoneError, "nothing is there for this device: it may be revoked, or its certificate has ended"),
    405: (CloudDeniedError, "the cloud does not know the request: is one of the two out of date?"),
    413: (CloudRefusedError, "it is too large for the cloud"),
    507: (CloudFullError, "the cloud has no room, or this device's quota is used up"),
}


def status_error(status: int, what: str) -> AerolinkError:
    """Return the error of a status that is of no use: which of ours, with one line."""
    if status in _ERRORS:
        kind, reason = _ERRORS[status]
        return kind(f"cloud, {what}: {reason}")
    if status in {408, 429} or status >= 500:
        return CloudBusyError(f"cloud, {what}: not now (status {status})")
    return StatusError(f"cloud, {what}: status {status}, which this Aerolink does not expect", status)
