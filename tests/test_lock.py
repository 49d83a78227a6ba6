"""The lock file, which ``make install`` and ``make audit`` use."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).parents[1] / "requirements.lock"


def requirements() -> list[Requirement]:
    return [Requirement(line.rstrip(" \\")) for line in LOCK.read_text().splitlines() if re.match(r"\w.*==", line)]


def test_the_audit_covers_every_package_of_the_lock_file() -> None:
    """The audit reports success for packages that it skips, so the numbers are compared; advisories need a network."""
    here = {r.name for r in requirements() if r.marker is None or r.marker.evaluate()}
    makefile = LOCK.with_name("Makefile").read_text()
    (options,) = re.findall(r"^\t\$\(BIN\)/pip-audit (.*)$", makefile, re.MULTILINE)
    asked = [sys.executable, "-m", "pip_audit", "--dry-run", *options.split()]
    done = subprocess.run(asked, cwd=LOCK.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"would have audited {len(here)} packages" in done.stderr
    assert len(here) > 100
    assert {"--strict", "--require-hashes", "--disable-pip"} <= set(options.split())


def test_every_package_has_hashes() -> None:
    packages = re.split(r"^(?=\w.*==)", LOCK.read_text(), flags=re.MULTILINE)[1:]
    assert len(packages) == len(requirements())
    for package in packages:
        assert "--hash=sha256:" in package, package[:80]
