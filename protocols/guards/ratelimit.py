"""Token buckets: one, one per source, one per kind of log line. Time is the parameter ``now``, in seconds."""

from collections import OrderedDict
from typing import Final

from protocols.errors import UsageError

MAX_SOURCES: Final = 4_096
"""Implementation limit: buckets kept by a :class:`SourceLimiter` (about 1 MiB)."""
MAX_LOG_KEYS: Final = 256


class TokenBucket:
    """``rate_per_s`` events in the long run, ``burst`` at once; full at first use."""

    __slots__ = ("_at", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        if not (rate_per_s > 0 and burst >= 1):
            raise UsageError("a token bucket has a positive rate and room for at least one event")
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def allow(self, now: float, tokens: float = 1.0) -> bool:
        """Take tokens if they are there; a refusal costs nothing. What costs more than ``burst`` costs all of it."""
        if self._at is not None and now > self._at:  # a clock that steps back gives nothing
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_s)
        self._at = now
        wanted = min(tokens, self._burst)
        if self._tokens < wanted:
            return False
        self._tokens -= wanted
        return True


class SourceLimiter:
    """A token bucket per source (``guards.address.source_key``), in a table of bounded size.

    A full table forgets the source that was quiet longest. An attacker with many addresses can so renew his
    buckets, which is why the load mode (cookies) counts all sources together; he can never lock out another.
    """

    __slots__ = ("_buckets", "_burst", "_max_sources", "_rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, max_sources: int = MAX_SOURCES) -> None:
        if max_sources < 1:
            raise UsageError("a table has room for at least one source")
        TokenBucket(rate_per_s, burst)  # refuses wrong numbers now rather than at the first packet
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._max_sources = max_sources
        self._buckets: OrderedDict[bytes, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """How many sources are remembered."""
        return len(self._buckets)

    def allow(self, source: bytes, now: float, tokens: float = 1.0) -> bool:
        """Take tokens of ``source``; False if it has too few left."""
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= self._max_sources:
                self._buckets.popitem(last=False)
            bucket = self._buckets[source] = TokenBucket(self._rate_per_s, self._burst)
        else:
            self._buckets.move_to_end(source)
        return bucket.allow(now, tokens)


class LogLimiter:
    """Rations log lines about hostile input, and counts those that are left out."""

    __slots__ = ("_burst", "_keys", "_max_keys", "_rate_per_s")

    def __init__(self, lines_per_s: float, burst: float | None = None, max_keys: int = MAX_LOG_KEYS) -> None:
        if max_keys < 1:
            raise UsageError("a table has room for at least one key")
        self._rate_per_s = lines_per_s
        self._burst = max(1.0, lines_per_s) if burst is None else burst
        self._max_keys = max_keys
        self._keys: OrderedDict[str, tuple[TokenBucket, int]] = OrderedDict()
        TokenBucket(self._rate_per_s, self._burst)

    def note(self, key: str, now: float) -> int | None:
        """None: write no line now. Else how many lines of ``key`` were left out since the last one."""
        bucket, suppressed = self._entry(key)
        allowed = bucket.allow(now)
        self._keys[key] = (bucket, 0 if allowed else suppressed + 1)
        return suppressed if allowed else None

    def _entry(self, key: str) -> tuple[TokenBucket, int]:
        if key in self._keys:
            return self._keys.pop(key)  # comes back as the newest
        if len(self._keys) >= self._max_keys:
            self._keys.popitem(last=False)
        return TokenBucket(self._rate_per_s, self._burst), 0
