"""TLS over any stream of trio: what a peer does wrong is a TlsError with one line, an end of the stream is one.

trio.SSLStream does the work. Two things are added: the alert that tells a peer why its handshake failed is sent
(SSLStream leaves it in its buffer), and a stream that ends without close_notify has ended: HTTP knows its own lengths.
"""

import ssl
from contextlib import suppress
from typing import Final, cast

import trio

from nodes.https.errors import TlsError
from protocols.errors import TruncatedError

_LAST_WORDS_S: Final = 1.0
_DRAINED_BYTES: Final = 65_536
_VERIFY: Final = {
    9: "is not valid yet; is the clock right?",
    10: "has expired; is the clock right?",
    18: "is signed by itself",
    19: "comes from an authority that is not trusted here",
    20: "comes from an authority that is not trusted here",
    21: "comes from an authority that is not trusted here",
    23: "is revoked",
    62: "is for another host",
    64: "is for another address",
}
"""X509_V_ERR_* of OpenSSL."""
_REASONS: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the other end asks for a certificate, and there is none here",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the other end has no certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the other end says that our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the other end says that our certificate is revoked",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the other end refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other end refuses our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the other end refuses our certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the other end does not trust the authority of our certificate",
    "TLSV1_ALERT_ACCESS_DENIED": "the other end refuses our certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the other end does not speak TLS 1.3",
    "UNSUPPORTED_PROTOCOL": "the other end does not speak TLS 1.3",
    "HTTP_REQUEST": "the other end speaks HTTP without TLS",
    "WRONG_VERSION_NUMBER": "the other end does not speak TLS",
}


def tls_error(error: BaseException | None) -> TlsError:
    """Return the one line for what OpenSSL says; none of its words, which may hold the peer's, are in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = _VERIFY.get(error.verify_code, "is not valid")
        return TlsError(f"TLS: the certificate of the other end {what}")
    reason = getattr(error, "reason", None)
    return TlsError(f"TLS: {_REASONS.get(reason or '', 'the other end does not keep to it')}")


def _has_words(error: BaseException | None) -> bool:
    """Whether TLS has failed; otherwise what carries it has."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)


class _Recorder:
    """Stands where SSLStream wants a context, and keeps the buffer of what is to be sent."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.outgoing = ssl.MemoryBIO()

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, server_side: bool, server_hostname: str | None
    ) -> ssl.SSLObject:
        self.outgoing = outgoing
        return self._context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_hostname)


class TlsStream:
    """One end of a TLS connection, over ``transport``. One task receives, one sends."""

    def __init__(
        self, transport: trio.abc.Stream, context: ssl.SSLContext, *, server_hostname: str | None = None
    ) -> None:
        """``server_hostname``: for the client's end; None makes this the server's."""
        self._transport = transport
        self._recorder = _Recorder(context)
        self._stream = trio.SSLStream(
            transport,
            cast("ssl.SSLContext", self._recorder),
            server_hostname=server_hostname,
            server_side=server_hostname is None,
        )

    async def handshake(self) -> None:
        """Do it. The other end is told why it fails, as far as TLS has words for it.

        TlsError; TruncatedError if the other end has gone without a word, which says nothing about certificates.
        """
        try:
            await self._stream.do_handshake()
        except trio.BrokenResourceError as error:
            if _has_words(error.__cause__):
                await self._last_words()
                raise tls_error(error.__cause__) from None
            raise TruncatedError("the connection broke off in the TLS handshake") from None

    def peer_certificate(self) -> bytes | None:
        """Return the certificate of the other end, as DER; None if it has none."""
        return cast("bytes | None", self._stream.getpeercert(binary_form=True))

    def version(self) -> str | None:
        """Return what is spoken: "TLSv1.3" ..."""
        return cast("str | None", self._stream.version())

    def suite(self) -> str:
        """Return the cipher suite's name: "TLS_AES_256_GCM_SHA384" ...; after the handshake."""
        return cast("tuple[str, str, int]", self._stream.cipher())[0]

    async def receive(self, limit_bytes: int) -> bytes:
        """Return what has arrived, nothing at the end of the stream; TlsError if what arrives is no TLS."""
        try:
            return bytes(await self._stream.receive_some(limit_bytes))
        except trio.BrokenResourceError as error:
            if _has_words(error.__cause__):
                raise tls_error(error.__cause__) from None
            return b""

    async def send(self, data: bytes | memoryview) -> None:
        """Send all of it; BrokenResourceError when the other end has gone."""
        await self._stream.send_all(data)

    async def aclose(self) -> None:
        """Say goodbye, and close; bounded in time, also while being cancelled."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WORDS_S):
            with suppress(trio.BrokenResourceError, ssl.SSLError):
                await self._stream.aclose()
            return
        await trio.aclose_forcefully(self._transport)

    async def abort(self) -> None:
        """Close at once."""
        await trio.aclose_forcefully(self._transport)

    async def drain(self, limit_bytes: int, limit_s: float) -> None:
        """Read on, for nothing, until the other end closes: closing on what is unread could undo our last words."""
        with trio.move_on_after(limit_s), suppress(TlsError, trio.BrokenResourceError, trio.ClosedResourceError):
            while limit_bytes > 0 and (data := await self.receive(limit_bytes)):
                limit_bytes -= len(data)

    async def _last_words(self) -> None:
        """Send the alert, and wait for the end of what the other one had to say."""
        alert = self._recorder.outgoing.read()
        if not alert:
            return
        left = _DRAINED_BYTES
        with (
            trio.move_on_after(_LAST_WORDS_S),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError),
        ):
            await self._transport.send_all(alert)
            if isinstance(self._transport, trio.abc.HalfCloseableStream):
                await self._transport.send_eof()
            while left > 0 and (data := await self._transport.receive_some(left)):
                left -= len(data)
