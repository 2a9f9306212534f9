"""Where a run was made: figures without it mean nothing."""

import os
import platform
import ssl
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from tests.bench.harness.child import ROOT
from tests.bench.harness.model import Json

PACKAGES: Final = (
    "aerolink", "aioquic", "cryptography", "dissononce", "matplotlib", "noiseprotocol", "pymavlink", "pyOpenSSL",
    "pyzmq", "rich", "trio",
)  # fmt: skip
_LIMITS: Final = ("rmem_max", "wmem_max")


def version_of(package: str) -> str | None:
    """Return the installed version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Return the processor's own name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _dtls_versions() -> Json:
    """What the environment of trio's DTLS has (``make bench`` made it)."""
    found = sorted((ROOT / ".venv" / ".bench-dtls" / "lib").glob("python*/site-packages/*.dist-info"))
    pairs = (each.name.removesuffix(".dist-info").rpartition("-") for each in found)
    return {name.lower(): number for name, _, number in pairs if name.lower() in {"pyopenssl", "cryptography", "trio"}}


def _limit(name: str) -> int | None:
    try:
        return int((Path("/proc/sys/net/core") / name).read_text())
    except (OSError, ValueError):
        return None


def describe() -> Json:
    """Return the machine, and the version of everything that is involved."""
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": ssl.OPENSSL_VERSION,
        "load_before": round(os.getloadavg()[0], 2) if sys.platform != "win32" else None,
        "socket_buffers": {name: _limit(name) for name in _LIMITS},
        "packages": {name: version_of(name) for name in PACKAGES},
        "dtls_packages": _dtls_versions(),
    }
