"""`ks keys`: every role's key, private, apart, and never overwritten."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ks_simulator.keys import decode_trust, public_text
from ks_tools.cli import run
from ks_tools.console import ToolError
from ks_tools.workspace import Workspace, read_seed

FILES = {
    "data/keys/server.pem": "server",
    "offline/release.pem": "release",
    "offline/admin-a.pem": "admin",
    "offline/admin-b.pem": "admin",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data", tmp_path / "offline")


def test_each_role_gets_a_private_pem_and_the_trust_its_public_half(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.make_keys()
    trusted = {(key.role, key.key) for key in decode_trust(workspace.trust.read_bytes())}
    for name, role in FILES.items():
        path = tmp_path / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        loaded = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(loaded, Ed25519PrivateKey)
        seed = read_seed(path)
        assert seed == loaded.private_bytes_raw()
        assert (role, public_text(seed)) in trusted
    assert len(trusted) == 4
    assert stat.S_IMODE((tmp_path / "offline").stat().st_mode) == 0o700


@pytest.mark.parametrize("there", [*FILES, "data/trust.toon"])
def test_no_key_is_overwritten_and_none_made_beside_an_old_one(
    workspace: Workspace, tmp_path: Path, there: str
) -> None:
    path = tmp_path / there
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(ToolError, match="never overwritten"):
        workspace.make_keys()
    assert path.read_text() == "precious"
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_the_command_shows_fingerprints_and_no_secret(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(workspace.data), "--offline", str(workspace.offline)]
    assert run(["keys", *options]) == 0
    shown = capsys.readouterr().out
    for key in workspace.read_trust():
        assert key.kid in shown
        assert key.key in shown
    for name in ("release.pem", "admin-a.pem", "admin-b.pem"):
        secret = (workspace.offline / name).read_text().splitlines()[1]
        assert secret not in shown
    assert run(["keys", "--show", "--json", *options]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [key["role"] for key in listed] == ["server", "release", "admin", "admin"]
    assert listed[0]["seq"] == 1


def test_an_admin_token_is_made_once_and_private(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADMIN_TOKEN", raising=False)
    with pytest.raises(ToolError, match="no admin token"):
        workspace.find_admin_token()
    token = workspace.provide_admin_token()
    assert workspace.provide_admin_token() == workspace.find_admin_token() == token
    assert len(token) >= 32
    assert stat.S_IMODE(workspace.admin_token.stat().st_mode) == 0o600
    monkeypatch.setenv("ADMIN_TOKEN", "from the environment")
    assert workspace.find_admin_token() == "from the environment"


def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    path.write_text("my secret diary")
    with pytest.raises(ToolError) as refused:
        read_seed(path)
    assert "diary" not in str(refused.value)
