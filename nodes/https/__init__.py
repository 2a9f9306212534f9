"""HTTPS/1.1 over trio: the server of the cloud, the client of the mobile (specs/http-front.md)."""

from nodes.https.body import Body
from nodes.https.client import ClientResponse, ClientStream, HttpsClient, TlsSession
from nodes.https.errors import HttpError, StatusError, TlsError
from nodes.https.limits import ClientLimits, HttpLimits
from nodes.https.messages import Handler, Request, Response
from nodes.https.server import HttpsServer
from nodes.https.watch import Alarm, AlarmKind, HttpCounters

__all__ = [
    "Alarm",
    "AlarmKind",
    "Body",
    "ClientLimits",
    "ClientResponse",
    "ClientStream",
    "Handler",
    "HttpCounters",
    "HttpError",
    "HttpLimits",
    "HttpsClient",
    "HttpsServer",
    "Request",
    "Response",
    "StatusError",
    "TlsError",
    "TlsSession",
]
