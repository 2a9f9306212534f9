"""What can be wrong with certificates, tokens and clocks, by blame (protocols/errors.py)."""

from protocols.errors import AuthenticationError, LocalError, PolicyError


class CertificateRefusedError(AuthenticationError):
    """A certificate is not one of ours, not for this use, or not for this key."""


class CertificateTimeError(CertificateRefusedError):
    """A certificate is not valid yet, or no longer."""


class ClockError(LocalError):
    """The clock of this machine is plainly wrong; the line says what to do."""


class EnrolmentNeededError(LocalError):
    """The device has no certificate that is still valid: it must be enrolled with a new token."""


class TokenRefusedError(PolicyError):
    """An enrolment token is unknown, used up or expired."""


class TooManyTriesError(PolicyError):
    """A source has tried too often for now."""
