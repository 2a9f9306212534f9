"""X.509 for devices and their cloud: what is issued, and what is believed (specs/10-key-life-cycle.md).

No clock and no randomness of its own: ``now`` is Unix seconds, ``entropy(n)`` gives n random bytes.
"""

from protocols.pki.errors import (
    CertificateRefusedError,
    CertificateTimeError,
    ClockError,
    EnrolmentNeededError,
    TokenRefusedError,
    TooManyTriesError,
)
from protocols.pki.issuing import CertificateAuthority, make_csr
from protocols.pki.reading import (
    Identity,
    certificate_pem,
    check_ca,
    check_issued,
    device_id_of,
    device_id_of_key,
    hosts_of,
    parse_csr_untrusted,
    read_certificate_untrusted,
    revocation_list_pem,
)
from protocols.pki.times import time_text
from protocols.pki.types import Certificate, CertificateKey, Enrolled, Use

__all__ = [
    "Certificate",
    "CertificateAuthority",
    "CertificateKey",
    "CertificateRefusedError",
    "CertificateTimeError",
    "ClockError",
    "Enrolled",
    "EnrolmentNeededError",
    "Identity",
    "TokenRefusedError",
    "TooManyTriesError",
    "Use",
    "certificate_pem",
    "check_ca",
    "check_issued",
    "device_id_of",
    "device_id_of_key",
    "hosts_of",
    "make_csr",
    "parse_csr_untrusted",
    "read_certificate_untrusted",
    "revocation_list_pem",
    "time_text",
]
