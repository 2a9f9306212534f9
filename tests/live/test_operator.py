"""The operator's command beside a running cloud: two processes, one file (KL-32, KL-43)."""

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from nodes.pki.folder import AuthorityFolder
from protocols.enrolment import EnrolmentToken
from protocols.pki import CertificateKey, make_csr, read_certificate_untrusted


def operator(state: Path, *words: str) -> dict[str, Any]:
    """Run ``aerolink cloud`` in a process of its own."""
    command = [sys.executable, "-c", "from nodes.cli import main; raise SystemExit(main())", "cloud", *words]
    arguments = [*command, "--state-dir", str(state), "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(done.stdout))


def test_kl_32_a_cloud_and_its_operators_command_see_each_others_changes(tmp_path: Path) -> None:
    """Whoever closes a descriptor of a file gives up all locks of his process on it, SQLite's too.

    The command then believed itself alone, and removed the log of changes to which the cloud went on writing.
    """
    now = time.time()
    tmp_path.chmod(0o700)
    with AuthorityFolder.open(tmp_path / "pki", now) as folder, closing(folder.reader()) as reader:
        revoked: set[str] = set()
        for _ in range(2):
            token = EnrolmentToken.parse(operator(tmp_path, "token")["token"])
            enrolled = folder.enrol(token, make_csr(CertificateKey.generate()), now)
            device = read_certificate_untrusted(enrolled.certificate_der).device_id
            assert device in {each["device"] for each in operator(tmp_path, "devices")["devices"]}
            operator(tmp_path, "revoke", device)
            revoked.add(device)
            assert {each.device_id for each in reader.devices() if each.revoked_s is not None} == revoked
