"""Certificates and enrolment tokens: sizes, lifetimes and labels (specs/10-key-life-cycle.md)."""

from typing import Final

DEVICE_ID_BYTES: Final = 16
"""Leading bytes of SHA-256 over the SubjectPublicKeyInfo of a device's key (KL-21); 32 hexadecimal digits as text."""
SERIAL_BYTES: Final = 16
"""Random bytes of a serial number; the first bit is cleared, the second set, so that each has 16 bytes (KL-22)."""

TOKEN_SECRET_BYTES: Final = 16
CA_FINGERPRINT_BYTES: Final = 16
"""Leading bytes of SHA-256 over the DER of the authority's certificate, inside of each token (KL-30)."""
TOKEN_CHECK_BITS: Final = 24
TOKEN_LABEL: Final = b"Aerolink enrolment token v1"
"""Before the content of a token under its checksum."""
TOKEN_STORED_LABEL: Final = b"Aerolink enrolment token stored v1"
"""Before the secret of a token under the hash that the authority keeps (KL-31)."""
TOKEN_LIFETIME_S: Final = 86_400
MAX_TOKEN_LIFETIME_S: Final = 30 * 86_400

CA_LIFETIME_S: Final = 20 * 365 * 86_400
SERVER_LIFETIME_S: Final = 90 * 86_400
DEVICE_LIFETIME_S: Final = 90 * 86_400
CRL_LIFETIME_S: Final = 7 * 86_400
BACKDATE_S: Final = 3_600
"""A certificate or list is valid from this long before its issue: clocks may differ by as much (KL-23)."""
RENEW_NUMERATOR: Final = 2
RENEW_DENOMINATOR: Final = 3
"""A certificate is renewed when two thirds of its life have passed (KL-40)."""

MAX_CSR_BYTES: Final = 1_024
"""A request for a P-256 key with nothing in it has some 250."""
MAX_CERTIFICATE_BYTES: Final = 2_048
"""Ours have less than 700."""
MAX_CLOCK_BACKSTEP_S: Final = 300
"""By how much a clock may step back before the authority issues nothing more (KL-53)."""
