"""HTTP/1.1, sans-I/O: a strict front check before h11, on both ends (specs/http-front.md)."""
