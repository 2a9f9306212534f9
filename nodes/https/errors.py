"""What goes wrong in HTTPS and is not said yet in ``protocols.errors``."""

from http import HTTPStatus

from protocols.errors import AuthenticationError, PeerError


class HttpError(Exception):
    """A handler raises it to answer with a status; the peer sees the status and its standard phrase, nothing else."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(reason or HTTPStatus(status).phrase)
        self.status = status
        """400 to 599."""


class StatusError(PeerError):
    """The server answered with a status that is of no use here; ``status`` is its number."""

    advice = "Look whether the address is that of an Aerolink cloud, without a proxy before it, and compare versions."

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        """200 to 599; 0 if it is not known."""


class TlsError(AuthenticationError):
    """TLS has failed: a certificate is missing, wrong, expired or revoked, at one of the two ends."""

    advice = (
        "The line says which end refused what: enrol the device again, set its clock, or compare addresses; "
        "never go on with a cloud that is not yours."
    )
