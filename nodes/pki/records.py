"""What the authority remembers: tokens (as hashes), devices, their certificates and revocations.

For callers that may block; not for two threads at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.pki.database import Database
from protocols.errors import NotPairedError, RevokedError
from protocols.pki import (
    Certificate,
    CertificateRefusedError,
    ClockError,
    TokenRefusedError,
    device_id_of_key,
    read_certificate_untrusted,
    time_text,
)
from specs.certificates import MAX_CLOCK_BACKSTEP_S

Issue = Callable[[], Certificate]


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device that was enrolled."""

    device_id: str
    """32 hexadecimal digits."""
    name: str
    """What the operator called it when making its token."""
    enrolled_s: int
    """Unix time of its first enrolment."""
    expires_s: int
    """Unix time at which its newest certificate ends."""
    revoked_s: int | None
    """Unix time of its revocation; None: it is not revoked."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A revocation that a drone is told of, since it may be offline when it is made (KL-12)."""

    drone: bytes
    """Key id of the drone."""
    peer: bytes
    """Key id of the device that it must not trust any more."""
    asked_s: int
    """Unix time at which an operator asked for it."""
    delivered_s: int | None
    """Unix time at which the drone had it; None: it waits."""


class AuthorityRecords:
    """The records of one file."""

    def __init__(self, path: Path) -> None:
        """Open the file (:class:`Database`); StorageError."""
        self._database: Final = Database(path)

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._database.close()

    # --- tokens and certificates ----------------------------------------------------------------

    def add_token(self, stored: bytes, name: str, expires_s: int, now: float) -> None:
        """Keep the hash of a token; ClockError."""
        with self._database.change():
            self._tick(now)
            query = "INSERT INTO token (hash, name, expires_s) VALUES (?, ?, ?)"
            self._database.rows(query, stored, name, expires_s)

    def enrol(self, stored: bytes, public: bytes, now: float, issue: Issue) -> Certificate:
        """Use up a token, and note the certificate that it was used for: both or neither.

        The same token with the same key gives the same certificate again: the answer may have been lost (KL-32).
        TokenRefusedError, RevokedError, ClockError.
        """
        with self._database.change():
            self._tick(now)
            query = "SELECT t.name, t.expires_s, t.used_s, c.der FROM token t LEFT JOIN certificate c USING (serial)"
            row = self._database.row(f"{query} WHERE t.hash = ?", stored)
            if row is None:
                raise TokenRefusedError("this token is not known here")
            name, expires_s, used_s, der = row
            if now >= expires_s:
                raise TokenRefusedError(f"this token has expired at {time_text(expires_s)}")
            device_id = device_id_of_key(public)
            self._check_not_revoked(device_id)
            if used_s is not None:
                return _same(der, public)
            certificate = issue()
            self._add_device(device_id, name, now)
            self._add_certificate(certificate)
            query = "UPDATE token SET used_s = ?, serial = ? WHERE hash = ?"
            self._database.rows(query, int(now), certificate.serial, stored)
            return certificate

    def renew(self, certificate: Certificate, now: float, issue: Issue) -> Certificate:
        """Note a further certificate of a device, and return it; the newest one again if that is young (KL-41).

        CertificateRefusedError, RevokedError, ClockError.
        """
        with self._database.change():
            self._tick(now)
            self.check(certificate, now)
            query = "SELECT der FROM certificate WHERE device = ? ORDER BY not_after_s DESC LIMIT 1"
            (der,) = self._database.row(query, certificate.device_id)
            newest = read_certificate_untrusted(der)
            # A clock may have stepped back since; one that is of the far future, issued by mistake, is no use (KL-53).
            if newest.issued_s - MAX_CLOCK_BACKSTEP_S <= now < (newest.issued_s + newest.not_after_s) // 2:
                return newest
            renewed = issue()
            self._add_certificate(renewed)
            return renewed

    def check(self, certificate: Certificate, now: float) -> None:
        """CertificateRefusedError unless it was issued here and is valid; RevokedError; ClockError."""
        query = "SELECT c.der, d.revoked_s FROM certificate c JOIN device d ON d.id = c.device WHERE c.serial = ?"
        row = self._database.row(query, certificate.serial)
        self._check_clock(now)
        if row is None or row[0] != certificate.der:
            raise CertificateRefusedError("this certificate was not issued here")
        if row[1] is not None:
            raise RevokedError("this device was revoked")
        certificate.check_time(now)

    # --- devices and revocation -----------------------------------------------------------------

    def devices(self) -> Sequence[DeviceRecord]:
        """Return every device, the first one first."""
        query = """SELECT d.id, d.name, d.enrolled_s, MAX(c.not_after_s), d.revoked_s
            FROM device d JOIN certificate c ON c.device = d.id GROUP BY d.id ORDER BY d.enrolled_s, d.id"""
        return tuple(DeviceRecord(*row) for row in self._database.rows(query))

    def revoke(self, device_id: str, now: float) -> None:
        """Refuse a device from now on, whatever the clock says; NotPairedError if there is none."""
        with self._database.change():
            found = self._database.row("SELECT revoked_s FROM device WHERE id = ?", device_id)
            if found is None:
                raise NotPairedError("this device was never enrolled here")
            if found[0] is None:
                self._database.rows("UPDATE device SET revoked_s = ? WHERE id = ?", int(now), device_id)

    def revoked(self, now: float) -> Sequence[tuple[str, int]]:
        """Return (serial, Unix time of its revocation) of each revoked certificate that has not expired."""
        query = """SELECT c.serial, d.revoked_s FROM certificate c JOIN device d ON d.id = c.device
            WHERE d.revoked_s IS NOT NULL AND c.not_after_s > ? ORDER BY c.serial"""
        return tuple(self._database.rows(query, int(now)))

    def revocations(self) -> int:
        """Return how many devices are revoked: it only grows."""
        (count,) = self._database.row("SELECT COUNT(revoked_s) FROM device")
        return int(count)

    def next_list_number(self) -> int:
        """Return the number of the next revocation list: none is used twice."""
        with self._database.change():
            number = self._number("list") + 1
            self._set_number("list", number)
            return number

    # --- notices to drones ------------------------------------------------------------------------

    def add_notice(self, drone: bytes, peer: bytes, now: float) -> None:
        """Note that a drone is to be told that a device is revoked (KL-12); twice is once."""
        with self._database.change():
            query = "INSERT INTO notice (drone, peer, asked_s) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            self._database.rows(query, drone, peer, int(now))

    def notices(self) -> Sequence[Notice]:
        """Return every notice, delivered ones too, the oldest first."""
        query = "SELECT drone, peer, asked_s, delivered_s FROM notice ORDER BY asked_s, drone, peer"
        return tuple(Notice(*row) for row in self._database.rows(query))

    def delivered(self, drone: bytes, peer: bytes, now: float) -> None:
        """Note that the drone has said that it is done, durably at its side."""
        with self._database.change():
            query = "UPDATE notice SET delivered_s = ? WHERE drone = ? AND peer = ? AND delivered_s IS NULL"
            self._database.rows(query, int(now), drone, peer)

    # --- the clock ------------------------------------------------------------------------------

    def last_time(self) -> int:
        """Return the highest Unix time at which something was issued; 0: never."""
        return self._number("time")

    def note_issue(self, now: float) -> None:
        """Note that something is issued now that has no record here: the server's certificate, a list; ClockError."""
        with self._database.change():
            self._tick(now)

    def trust_clock(self, now: float) -> None:
        """Take this time as right, although something was issued later: that was the mistake."""
        with self._database.change():
            self._set_number("time", int(now))

    def _tick(self, now: float) -> None:
        self._check_clock(now)
        self._set_number("time", max(int(now), self._number("time")))

    def _check_clock(self, now: float) -> None:
        last = self._number("time")
        if now < last - MAX_CLOCK_BACKSTEP_S:
            raise ClockError(
                f"the clock of this machine says {time_text(now)}, and something was issued at {time_text(last)}: "
                "set the clock; if that was the wrong time, `aerolink cloud clock --trust` takes the one of now"
            )

    # --- inside ---------------------------------------------------------------------------------

    def _check_not_revoked(self, device_id: str) -> None:
        query = "SELECT 1 FROM device WHERE id = ? AND revoked_s IS NOT NULL"
        if self._database.row(query, device_id):
            raise RevokedError("this device was revoked: it needs a new key, and a new token")

    def _add_device(self, device_id: str, name: str, now: float) -> None:
        query = """INSERT INTO device (id, name, enrolled_s) VALUES (?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET name = excluded.name"""
        self._database.rows(query, device_id, name, int(now))

    def _add_certificate(self, certificate: Certificate) -> None:
        query = "INSERT INTO certificate (serial, device, der, issued_s, not_after_s) VALUES (?, ?, ?, ?, ?)"
        self._database.rows(
            query,
            certificate.serial,
            certificate.device_id,
            certificate.der,
            certificate.issued_s,
            certificate.not_after_s,
        )

    def _number(self, name: str) -> int:
        row = self._database.row("SELECT value FROM number WHERE name = ?", name)
        return int(row[0]) if row else 0

    def _set_number(self, name: str, value: int) -> None:
        self._database.rows("INSERT OR REPLACE INTO number (name, value) VALUES (?, ?)", name, value)


def _same(der: bytes, public: bytes) -> Certificate:
    certificate = read_certificate_untrusted(der)
    if certificate.public != public:
        raise TokenRefusedError("this token was used before")
    return certificate
