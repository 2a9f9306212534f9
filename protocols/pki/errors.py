"""What can be wrong with certificates, tokens and clocks, by blame (protocols/errors.py)."""

from protocols.errors import AuthenticationError, LocalError, PolicyError


class CertificateRefusedError(AuthenticationError):
    """A certificate is not one of ours, not for this use, or not for this key."""

    advice = (
        "Enrol the device with a token of this cloud. If it was enrolled here, somebody else answers at that "
        "address, or `pki` is of another device."
    )


class CertificateTimeError(CertificateRefusedError):
    """A certificate is not valid yet, or no longer."""

    advice = "Set the clock of the machine that the line names; if it is right, enrol the device with a new token."


class ClockError(LocalError):
    """The clock of this machine is plainly wrong; the line says what to do."""

    advice = "Set the clock. If a clock in the future was the mistake, at a cloud: `aerolink cloud clock --trust`."


class EnrolmentNeededError(LocalError):
    """The device has no certificate that is still valid: it must be enrolled with a new token."""

    advice = "`aerolink cloud token` at the cloud, then start the device once with `--enrol`."


class TokenRefusedError(PolicyError):
    """An enrolment token is unknown, used up or expired."""

    advice = (
        "Make another token (`aerolink cloud token`): each is good for one device and 24 hours. For a revoked "
        "key remove the device's `pki` folder first."
    )


class TooManyTriesError(PolicyError):
    """A source has tried too often for now."""

    advice = "Wait a minute, then try once with the right token."
