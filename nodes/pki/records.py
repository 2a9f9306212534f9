"""What the authority remembers: tokens (as hashes), certificates, revocations. SQLite, for callers that may block.

Write-ahead log with ``synchronous=FULL``: what a call has done outlives kill -9 and a power cut. The running cloud and
``aerolink cloud`` use the same file at the same time: every change is one transaction that has the write lock from its
beginning, so of two that race for one token one wins, whichever process they are in.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from protocols.errors import NotPairedError, RevokedError, StorageError
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

SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = 0x41455041  # "AEPA"
_BUSY_S: Final = 10.0
"""How long a call waits for another process's transaction, which take milliseconds."""
_SCHEMA: Final = """
CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE device (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, enrolled_s INTEGER NOT NULL, revoked_s INTEGER
);
CREATE TABLE certificate (
    serial TEXT PRIMARY KEY, device TEXT NOT NULL REFERENCES device (id), der BLOB NOT NULL,
    issued_s INTEGER NOT NULL, not_after_s INTEGER NOT NULL
);
CREATE INDEX certificate_of ON certificate (device, not_after_s);
CREATE TABLE token (
    hash BLOB PRIMARY KEY, name TEXT NOT NULL, expires_s INTEGER NOT NULL,
    used_s INTEGER, serial TEXT REFERENCES certificate (serial)
);
"""
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


class AuthorityRecords:
    """The file. Not for two threads at a time."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file, which must exist and be private (an empty one is filled); StorageError."""
        with _errors(path, "opened"):
            database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
        records = cls(path, database)
        try:
            with _errors(path, "opened"):
                records._prepare()
        except BaseException:
            database.close()
            raise
        return records

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._database.close()

    # --- tokens and certificates ----------------------------------------------------------------

    def add_token(self, stored: bytes, name: str, expires_s: int, now: float) -> None:
        """Keep the hash of a token; ClockError."""
        with self._change():
            self._tick(now)
            row = (stored, name, expires_s)
            self._database.execute("INSERT INTO token (hash, name, expires_s) VALUES (?, ?, ?)", row)

    def enrol(self, stored: bytes, public: bytes, now: float, issue: Issue) -> Certificate:
        """Use up a token, and note the certificate that it was used for: both or neither.

        The same token with the same key gives the same certificate again: the answer may have been lost (KL-32).
        TokenRefusedError, RevokedError, ClockError.
        """
        with self._change():
            self._tick(now)
            query = "SELECT t.name, t.expires_s, t.used_s, c.der FROM token t LEFT JOIN certificate c USING (serial)"
            row = self._database.execute(f"{query} WHERE t.hash = ?", (stored,)).fetchone()
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
            done = (int(now), certificate.serial, stored)
            self._database.execute("UPDATE token SET used_s = ?, serial = ? WHERE hash = ?", done)
            return certificate

    def renew(self, certificate: Certificate, now: float, issue: Issue) -> Certificate:
        """Note a further certificate of a device, and return it; the newest one again if that is young (KL-41).

        CertificateRefusedError, RevokedError, ClockError.
        """
        with self._change():
            self._tick(now)
            self.check(certificate, now)
            query = "SELECT der FROM certificate WHERE device = ? ORDER BY not_after_s DESC LIMIT 1"
            (der,) = self._database.execute(query, (certificate.device_id,)).fetchone()
            newest = read_certificate_untrusted(der)
            if newest.issued_s <= now < (newest.issued_s + newest.not_after_s) // 2:
                return newest
            renewed = issue()
            self._add_certificate(renewed)
            return renewed

    def check(self, certificate: Certificate, now: float) -> None:
        """CertificateRefusedError unless it was issued here and is valid; RevokedError; ClockError."""
        query = "SELECT c.der, d.revoked_s FROM certificate c JOIN device d ON d.id = c.device WHERE c.serial = ?"
        with _errors(self._path, "read"):
            row = self._database.execute(query, (certificate.serial,)).fetchone()
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
        with _errors(self._path, "read"):
            return tuple(DeviceRecord(*row) for row in self._database.execute(query).fetchall())

    def revoke(self, device_id: str, now: float) -> None:
        """Refuse a device from now on, whatever the clock says; NotPairedError if there is none."""
        with self._change():
            found = self._database.execute("SELECT revoked_s FROM device WHERE id = ?", (device_id,)).fetchone()
            if found is None:
                raise NotPairedError("this device was never enrolled here")
            if found[0] is None:
                self._database.execute("UPDATE device SET revoked_s = ? WHERE id = ?", (int(now), device_id))

    def revoked(self, now: float) -> Sequence[tuple[str, int]]:
        """Return (serial, Unix time of its revocation) of each revoked certificate that has not expired."""
        query = """SELECT c.serial, d.revoked_s FROM certificate c JOIN device d ON d.id = c.device
            WHERE d.revoked_s IS NOT NULL AND c.not_after_s > ? ORDER BY c.serial"""
        with _errors(self._path, "read"):
            return tuple(self._database.execute(query, (int(now),)).fetchall())

    def revocations(self) -> int:
        """Return how many devices are revoked: it only grows."""
        with _errors(self._path, "read"):
            (count,) = self._database.execute("SELECT COUNT(revoked_s) FROM device").fetchone()
        return int(count)

    def next_list_number(self) -> int:
        """Return the number of the next revocation list: none is used twice."""
        with self._change():
            number = self._number("list") + 1
            self._set_number("list", number)
            return number

    # --- the clock ------------------------------------------------------------------------------

    def last_time(self) -> int:
        """Return the highest Unix time at which something was issued; 0: never."""
        with _errors(self._path, "read"):
            return self._number("time")

    def trust_clock(self, now: float) -> None:
        """Take this time as right, although something was issued later: that was the mistake."""
        with self._change():
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
        if self._database.execute(query, (device_id,)).fetchone():
            raise RevokedError("this device was revoked: it needs a new key, and a new token")

    def _add_device(self, device_id: str, name: str, now: float) -> None:
        query = """INSERT INTO device (id, name, enrolled_s) VALUES (?, ?, ?)
            ON CONFLICT (id) DO UPDATE SET name = excluded.name"""
        self._database.execute(query, (device_id, name, int(now)))

    def _add_certificate(self, certificate: Certificate) -> None:
        row = (
            certificate.serial,
            certificate.device_id,
            certificate.der,
            certificate.issued_s,
            certificate.not_after_s,
        )
        query = "INSERT INTO certificate (serial, device, der, issued_s, not_after_s) VALUES (?, ?, ?, ?, ?)"
        self._database.execute(query, row)

    def _number(self, name: str) -> int:
        row = self._database.execute("SELECT value FROM number WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def _set_number(self, name: str, value: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO number (name, value) VALUES (?, ?)", (name, value))

    @contextlib.contextmanager
    def _change(self) -> Generator[None]:
        """All of the block or nothing of it, durable when it ends."""
        with _errors(self._path, "written"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def _prepare(self) -> None:
        database = self._database
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        with self._change():  # two processes may be the first one
            (version,) = database.execute("PRAGMA user_version").fetchone()
            (application,) = database.execute("PRAGMA application_id").fetchone()
            if (version, application) == (0, 0):
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif application != _APPLICATION_ID:
                raise StorageError(f"{self._path} is no file of an authority: name another folder")
            elif version != SCHEMA_VERSION:
                advice = f"this Aerolink reads {SCHEMA_VERSION}: use the Aerolink that wrote it"
                raise StorageError(f"{self._path} has format version {version}; {advice}")


def _same(der: bytes, public: bytes) -> Certificate:
    certificate = read_certificate_untrusted(der)
    if certificate.public != public:
        raise TokenRefusedError("this token was used before")
    return certificate


_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; run as its owner, on a writable disk",
    sqlite3.SQLITE_CANTOPEN: "no such folder, or no right to it",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore the folder from a backup",
    sqlite3.SQLITE_NOTADB: "it is damaged; restore the folder from a backup",
    sqlite3.SQLITE_BUSY: "another process has it; try again",
    sqlite3.SQLITE_IOERR: "the disk failed",
}


@contextlib.contextmanager
def _errors(path: Path, what: str) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one, https://www.sqlite.org/rescode.html
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StorageError(f"{path} cannot be {what}: {_REASONS.get(code, f'SQLite error {name}')}") from None
