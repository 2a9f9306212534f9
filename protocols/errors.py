"""Every error, by blame.

Four roots below :class:`AerolinkError`: *ours* (the caller or its machine), *the peer's*, *authentication* and
*policy*. Names are precise inside; what goes out to a peer is one of the coarse codes of ``specs.registry``
(see specs/1-link.md, section Errors). No message of any of them holds a key, a code or a plaintext.

Any other exception that leaves ``protocols`` is a bug of ours.
"""


class AerolinkError(Exception):
    """The root of every error that this suite raises on purpose. Raise a leaf, not this."""


# --- ours: the caller, the configuration, this machine -----------------------------------------


class LocalError(AerolinkError):
    """We, our caller or our machine are to blame; the peer did nothing wrong."""


class UsageError(LocalError):
    """An interface was called in a state or with a value that its documentation excludes."""


class ConfigError(LocalError):
    """A configuration file, an option or a key file cannot be used as it is."""


class StorageError(LocalError):
    """A store could not be read or written (disk full, permissions, damaged file)."""


class KeyFormatError(LocalError):
    """A key, nonce, point or code has the wrong length or encoding."""


class UnsupportedError(LocalError):
    """A named algorithm, pattern or platform feature is not offered here."""


class MessageTooLargeError(LocalError):
    """A message is larger than its channel, carrier or the Noise limit of 65,535 bytes allows."""


class KeyExhaustedError(LocalError):
    """A key has reached its message limit and must not seal another (specs/1-link.md, Rekey)."""


class CodeFormatError(LocalError):
    """A typed linking code has a typing mistake: wrong length, alphabet or checksum."""


class CounterLostError(LocalError):
    """The initiation counter of a paired device is missing: the devices must be paired again."""


class QueueFullError(LocalError):
    """A bounded queue has no room now: send again when some of it has left."""


# --- the peer's ---------------------------------------------------------------------------------


class PeerError(AerolinkError):
    """The peer sent what the specification does not allow."""


class MalformedError(PeerError):
    """Bytes do not parse as the format they claim to be (the only error the codec raises)."""


class ProtocolViolationError(PeerError):
    """Well-formed, but not allowed in this state."""


class TruncatedError(PeerError):
    """The stream ended without an authenticated close."""


class LinkTimeoutError(PeerError):
    """The peer did not answer, or nothing authenticated arrived for too long."""


class FlowRefusedError(PeerError):
    """A relay, or the node behind it, does not open a flow (specs/5-relay.md)."""


# --- authentication -----------------------------------------------------------------------------


class AuthenticationError(AerolinkError):
    """What arrived does not prove what it should."""


class DecryptError(AuthenticationError):
    """An authentication tag did not verify."""


class BadPublicKeyError(AuthenticationError):
    """A peer's public key or encapsulation is not a valid one (not on the curve, all-zero secret ...)."""


class ReplayError(AuthenticationError):
    """A counter was seen before, or is older than the window."""


# --- policy -------------------------------------------------------------------------------------


class PolicyError(AerolinkError):
    """Authentic and well-formed, but the rules of this node say no."""


class NotPairedError(PolicyError):
    """The peer is not paired with this node."""


class RevokedError(PolicyError):
    """The peer's key has been revoked."""


class SuiteRefusedError(PolicyError):
    """The suite or version is not on the allow-list."""


class RoleRefusedError(PolicyError):
    """The peer's role may not have this link."""


class PairingClosedError(PolicyError):
    """No linking code is active: expired, used up, or none was made."""
