"""Every error, by blame.

Four roots below :class:`AerolinkError`: *ours* (the caller or its machine), *the peer's*, *authentication* and
*policy*. Names are precise inside; what goes out to a peer is one of the coarse codes of ``specs.registry``
(see specs/1-link.md, section Errors). No message of any of them holds a key, a code or a plaintext.

Any other exception that leaves ``protocols`` is a bug of ours.
"""

from typing import ClassVar


class AerolinkError(Exception):
    """The root of every error that this suite raises on purpose. Raise a leaf, not this."""

    advice: ClassVar[str] = ""
    """What a person does about it, for docs/errors.md; each leaf has its own."""


# --- ours: the caller, the configuration, this machine -----------------------------------------


class LocalError(AerolinkError):
    """We, our caller or our machine are to blame; the peer did nothing wrong."""


class UsageError(LocalError):
    """An interface was called in a state or with a value that its documentation excludes."""

    advice = (
        "Command: the line says which option or argument; `--help` shows what there is. Program: a mistake in "
        "the calling code, see the docstring of what was called."
    )


class ConfigError(LocalError):
    """A configuration file, an option or a key file cannot be used as it is."""

    advice = "Correct what the line names; `aerolink config check FILE` lists every problem of a file with its line."


class StorageError(LocalError):
    """A store could not be read or written (disk full, permissions, damaged file)."""

    advice = (
        "Make room, or give the file or folder to the user that runs the node; a damaged file is named, and "
        "docs/operate.md says what is lost with it."
    )


class KeyFormatError(LocalError):
    """A key, nonce, point or code has the wrong length or encoding."""

    advice = (
        "Enter it again as it was shown: nothing was changed. A key file that is named is damaged: restore it "
        "from a backup, or make a new key and pair again."
    )


class UnsupportedError(LocalError):
    """A named algorithm, pattern or platform feature is not offered here."""

    advice = "Choose one of those that the line names, or that `--help` lists."


class MessageTooLargeError(LocalError):
    """A message is larger than its channel, carrier or the Noise limit of 65,535 bytes allows."""

    advice = "Send it in smaller pieces, or as an object (`send_object`), which has no such limit."


class KeyExhaustedError(LocalError):
    """A key has reached its message limit and must not seal another (specs/1-link.md, Rekey)."""

    advice = (
        "A link has its keys replaced long before: make it anew. If the line names the initiation counter, "
        "make a new static key and pair again."
    )


class CodeFormatError(LocalError):
    """A typed linking code or token has a typing mistake: wrong length, alphabet or checksum."""

    advice = "Type it again: it was checked here, nothing was sent, and no try was used up."


class CounterLostError(LocalError):
    """The initiation counter of a paired device is missing: the devices must be paired again."""

    advice = "Pair the devices again; nothing must be removed before."


class QueueFullError(LocalError):
    """A bounded queue has no room now: send again when some of it has left."""

    advice = "Send again when some of it has left: `Link.send` waits for room by itself."


# --- the peer's ---------------------------------------------------------------------------------


class PeerError(AerolinkError):
    """The peer sent what the specification does not allow."""


class MalformedError(PeerError):
    """Bytes do not parse as the format they claim to be (the only error the codec raises)."""

    advice = (
        "Nothing, if it passes. Again and again: the other end is of another version, or somebody in between "
        "sends what neither end has made."
    )


class ProtocolViolationError(PeerError):
    """Well-formed, but not allowed in this state."""

    advice = (
        "Make the link anew. If it comes back, the other end has a mistake or another version: compare "
        "`aerolink --version`."
    )


class TruncatedError(PeerError):
    """The stream ended without an authenticated close."""

    advice = (
        "Make the link anew, a node does so by itself: the network or the other end has gone, or somebody has "
        "forged a reset. What was not acknowledged is sent again."
    )


class LinkTimeoutError(PeerError):
    """The peer did not answer, or nothing authenticated arrived for too long."""

    advice = (
        "Look whether the other device is on, in reach and has this address and port; when pairing, whether "
        "the code is right and still shown."
    )


class FlowRefusedError(PeerError):
    """A relay, or the node behind it, does not open a flow (specs/5-relay.md)."""

    advice = "Try again when the relay has its link to the destination; look at the links of the device in between."


# --- authentication -----------------------------------------------------------------------------


class AuthenticationError(AerolinkError):
    """What arrived does not prove what it should."""


class DecryptError(AuthenticationError):
    """An authentication tag did not verify."""

    advice = (
        "Nothing, if it passes: what was altered was dropped. On TCP the link ends and is made anew; again "
        "and again, somebody is on the path."
    )


class BadPublicKeyError(AuthenticationError):
    """A peer's public key or encapsulation is not a valid one (not on the curve, all-zero secret ...)."""

    advice = (
        "Pair only with the device in front of you. A key file that is named: restore it, or make a new key "
        "and pair again."
    )


class ReplayError(AuthenticationError):
    """A counter was seen before, or is older than the window."""

    advice = (
        "Nothing: a copy in the network was dropped. From your own device again and again: an old backup is "
        "in service there, pair it again."
    )


# --- policy -------------------------------------------------------------------------------------


class PolicyError(AerolinkError):
    """Authentic and well-formed, but the rules of this node say no."""


class NotPairedError(PolicyError):
    """The peer is not paired with this node."""

    advice = "Pair the two devices. If they were paired, one of them has a new key or an empty state folder."


class RevokedError(PolicyError):
    """The peer's key has been revoked."""

    advice = (
        "Nothing, if it was meant. To take the device back, `aerolink keys forget` it on the node that "
        "refuses it, and pair it anew."
    )


class SuiteRefusedError(PolicyError):
    """The suite or version is not on the allow-list."""

    advice = (
        "Give both ends a suite in common: `suites` in the configuration, and a key of its curve (`aerolink "
        "keys generate --dh`)."
    )


class RoleRefusedError(PolicyError):
    """The peer's role may not have this link."""

    advice = (
        "Look at `role` in the configuration of the other device; if it has changed its role, forget it here "
        "and pair it anew."
    )


class PairingClosedError(PolicyError):
    """No linking code is active: expired, used up, or none was made."""

    advice = "Show a new code on the device that shows them, and enter it within five minutes."
