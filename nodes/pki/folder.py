"""The folder of an authority, for callers that may block.

::

    <state_dir>/pki/        mode 0700, ours
        lock                held by the cloud that runs
        ca.pem              the authority's key and certificate: whoever has it makes devices
        server.pem          key and certificate of the server, made anew at two thirds of its life
        trust.pem           the authority's certificate and its list of revoked certificates, for OpenSSL
        authority.sqlite    tokens (as hashes), devices, certificates, revocations; with -wal and -shm beside it

The lock is for the PEM files. ``authority.sqlite`` locks itself, so ``aerolink cloud`` works beside a running cloud.
SQLite's locks are the process's, and end when *any* of its descriptors of that file is closed
(https://www.sqlite.org/howtocorrupt.html, 2.2): nothing but SQLite opens it here.
"""

import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nodes.pki.records import AuthorityRecords
from nodes.stores.directory import PrivateDirectory
from nodes.stores.rules import MAX_NAME_CHARS
from protocols.enrolment import EnrolmentToken
from protocols.errors import ConfigError, KeyFormatError, UsageError
from protocols.pki import (
    Certificate,
    CertificateAuthority,
    CertificateKey,
    Enrolled,
    Identity,
    TokenRefusedError,
    certificate_pem,
    hosts_of,
    parse_csr_untrusted,
    revocation_list_pem,
)
from specs.certificates import MAX_TOKEN_LIFETIME_S

FOLDER: Final = "pki"
"""Name inside of a state folder."""
CA_NAME: Final = "ca.pem"
SERVER_NAME: Final = "server.pem"
TRUST_NAME: Final = "trust.pem"
RECORDS_NAME: Final = "authority.sqlite"


class AuthorityFolder:
    """An open folder. What changes the records may be done beside a running cloud, the rest is the cloud's."""

    def __init__(self, directory: PrivateDirectory, authority: CertificateAuthority, records: AuthorityRecords) -> None:
        self._directory = directory
        self.authority: Final = authority
        self.records: Final = records

    @classmethod
    def open(cls, path: Path, now: float) -> Self:
        """Open the folder for a cloud, with its lock, and make what is missing; ConfigError, StorageError."""
        PrivateDirectory.open(path.parent, create=True, read_only=True).close()  # a state folder is private too
        directory = PrivateDirectory.open(path, create=True)
        try:
            return cls._opened(directory, now)
        except BaseException:
            directory.close()
            raise

    @classmethod
    def open_beside(cls, path: Path, now: float, *, create: bool = False) -> Self:
        """Open the folder for an operator, whether a cloud runs or not; ``create`` makes a missing authority."""
        try:
            is_there = (path / RECORDS_NAME).exists()
        except OSError:  # another user's: opening the folder says so
            is_there = True
        if not is_there:
            if not create:
                command = f"aerolink cloud token --state-dir {shlex.quote(str(path.parent))}"
                raise ConfigError(f"there is no authority in {path.parent}: `{command}` makes it")
            cls.open(path, now).close()
        directory = PrivateDirectory.open(path, read_only=True)
        try:
            return cls._opened(directory, now)
        except BaseException:
            directory.close()
            raise

    @classmethod
    def _opened(cls, directory: PrivateDirectory, now: float) -> Self:
        authority = _authority(directory, now)
        return cls(directory, authority, AuthorityRecords(directory.path / RECORDS_NAME))

    def reader(self) -> AuthorityRecords:
        """Return the records once more, for a thread that must not wait for who writes."""
        return AuthorityRecords(self._directory.path / RECORDS_NAME)

    def close(self) -> None:
        """Give the lock back; nothing can be read or written afterwards."""
        self.records.close()
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- devices --------------------------------------------------------------------------------

    def make_token(self, name: str, lifetime_s: int, now: float) -> EnrolmentToken:
        """Make a token, keep its hash, and return it; UsageError, ClockError, StorageError."""
        if len(name) > MAX_NAME_CHARS or not name.isprintable():
            raise UsageError(f"a device name has at most {MAX_NAME_CHARS} printable characters")
        if not 0 < lifetime_s <= MAX_TOKEN_LIFETIME_S:
            raise UsageError(f"a token lives at most {MAX_TOKEN_LIFETIME_S // 86_400} days")
        token = EnrolmentToken.generate(secrets.token_bytes, self.authority.certificate.der)
        self.records.add_token(token.stored(), name, int(now) + lifetime_s, now)
        return token

    def enrol(self, token: EnrolmentToken, csr_der: bytes, now: float) -> Enrolled:
        """Issue a certificate for a token; MalformedError, TokenRefusedError, RevokedError, ClockError."""
        if not token.pins(self.authority.certificate.der):
            raise TokenRefusedError("this token is for another authority")
        public = parse_csr_untrusted(csr_der)

        def issue() -> Certificate:
            return self.authority.issue_device(public, now, secrets.token_bytes)

        certificate = self.records.enrol(token.stored(), public, now, issue)
        return Enrolled(certificate.der, self.authority.certificate.der)

    def renew(self, certificate: Certificate, csr_der: bytes, now: float) -> Enrolled:
        """Issue a further certificate for the key of one."""
        if parse_csr_untrusted(csr_der) != certificate.public:
            raise TokenRefusedError("a certificate is renewed for its own key; another key is enrolled with a token")

        def issue() -> Certificate:
            return self.authority.issue_device(certificate.public, now, secrets.token_bytes)

        return Enrolled(self.records.renew(certificate, now, issue).der, self.authority.certificate.der)

    # --- files for OpenSSL ----------------------------------------------------------------------

    def server_identity(self, hosts: Sequence[str], now: float) -> tuple[Path, Certificate]:
        """Return the server's certificate and its file: made anew if it is due, damaged or for other hosts."""
        path = self._directory.path / SERVER_NAME
        found = self._server_certificate()
        wanted = frozenset(host.lower() for host in hosts)
        if found is not None and hosts_of(found) == wanted and found.not_before_s <= now < found.renewal_s():
            return path, found
        key = CertificateKey.generate()
        certificate = self.authority.issue_server(key.public, hosts, now, secrets.token_bytes)
        self._directory.write(SERVER_NAME, Identity(key, (certificate,)).pem())
        return path, certificate

    def _server_certificate(self) -> Certificate | None:
        pem = self._directory.read(SERVER_NAME)
        try:
            return None if pem is None else Identity.parse(pem, 1).certificates[0]
        except KeyFormatError:
            return None  # nothing is lost: another one is made

    def trust(self, now: float) -> tuple[Path, bytes]:
        """Make a new revocation list; return the file for OpenSSL, and the list's DER."""
        revoked = self.records.revoked(now)
        der = self.authority.revocation_list(revoked, self.records.next_list_number(), now)
        content = certificate_pem(self.authority.certificate.der) + revocation_list_pem(der)
        self._directory.write(TRUST_NAME, content)
        return self._directory.path / TRUST_NAME, der


def _authority(directory: PrivateDirectory, now: float) -> CertificateAuthority:
    path = directory.path / CA_NAME
    pem = directory.read(CA_NAME)
    if pem is not None:
        try:
            return CertificateAuthority.parse(pem)
        except KeyFormatError as error:
            raise ConfigError(f"{path}: {error}; restore the file from a backup") from None
    if directory.locate(RECORDS_NAME) is not None:
        # A new authority would lock out every device without a word.
        raise ConfigError(f"{path} is missing: restore it from a backup, or begin anew in an empty folder")
    authority = CertificateAuthority.make(CertificateKey.generate(), now, secrets.token_bytes)
    directory.write(CA_NAME, authority.pem())
    return authority
