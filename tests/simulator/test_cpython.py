"""A CPython terminal has the standard library, its slot and PyNaCl, whatever else is installed."""

import subprocess
from pathlib import Path

import pytest

from ks_simulator.application import installed_files
from ks_simulator.interpreters import cpython_command

LIMIT_S = 60
# As boot.py does: the slot goes first.
BOOT = """
import sys
sys.path.insert(0, sys.argv[1])
from ks_crypto import ed25519, sha512
signature = ed25519.sign(bytes(32), [b"text"])
assert ed25519.verify(ed25519.public_key(bytes(32)), [b"text"], signature)
print(ed25519.ENGINE, sha512.ENGINE, ed25519.__file__.startswith(sys.argv[1]), len(sys.argv))
missing = []
for name in ("ks_server", "ks_simulator", "ks_driver", "cryptography", "pytest"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print(*missing)
sys.exit(75)
"""


@pytest.fixture
def boot(tmp_path: Path) -> Path:
    """A terminal's folder with its crypto; the program that is started there."""
    for path, content in installed_files().items():
        if path.startswith("ks_crypto/"):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(content)
    boot = tmp_path / "boot.py"
    boot.write_text(BOOT)
    return boot


def test_it_signs_with_libsodium_and_finds_nothing_else_that_is_installed(boot: Path) -> None:
    assert run(cpython_command(), boot) == [
        "libsodium hashlib True 2",
        "ks_server ks_simulator ks_driver cryptography pytest",
    ]


def test_without_pynacl_it_signs_with_big_integers(boot: Path) -> None:
    command = cpython_command()
    assert run([*command[:-1], ""], boot)[0] == "bigint hashlib True 2"


def run(command: list[str], boot: Path) -> list[str]:
    done = subprocess.run(
        [*command, str(boot), str(boot.parent)],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    return done.stdout.splitlines()
