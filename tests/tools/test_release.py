"""`ks release`: built reproducibly, signed apart, checked before it is published."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ks_agent import bundle, signing, timetext
from ks_simulator import compiled
from ks_simulator.application import split
from ks_simulator.keys import RoleKeys, key_id, public_text
from ks_tools import release as releases
from ks_tools.cli import run
from ks_tools.console import ToolError
from ks_tools.release_options import ARCHITECTURES
from ks_tools.workspace import Workspace
from tests.only_once import Compiler


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767312000")
    folder = tmp_path / "source"
    (folder / "ks_agent" / "__pycache__").mkdir(parents=True)
    (folder / "main.py").write_text("def main(root, slot):\n    return None\n")
    (folder / "ks_agent" / "__init__.py").write_text("")
    (folder / "ks_agent" / "__pycache__" / "x.pyc").write_text("never in a release")
    (folder / ".hidden").write_text("never in a release")
    return folder


def build(source: Path, out: str, *options: str) -> int:
    return run(["release", "build", "1.2.0", "--from", str(source), "--out", out, *options])


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_two_builds_of_the_same_source_are_the_same(source: Path, tmp_path: Path) -> None:
    assert build(source, "one") == build(source, "two") == 0
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    manifest = bundle.parse_manifest((tmp_path / "one" / "manifest.toon").read_bytes())
    assert manifest["BUILT"] == "2026-01-02T00:00:00.000Z"
    assert [row["PATH"] for row in manifest["FILE"]] == ["ks_agent/__init__.py", "main.py"]


def test_what_is_asked_for_stands_in_the_manifest(source: Path, tmp_path: Path) -> None:
    options = ["--counter", "7", "--id", "spring", "--types", "ESP32_READER, RPI_TERMINAL"]
    assert build(source, "out", *options, "--built", "2026-03-01", "--expires", "2027-03-01") == 0
    manifest = bundle.parse_manifest((tmp_path / "out" / "manifest.toon").read_bytes())
    assert manifest["FW1"] == "spring"
    assert manifest["COUNTER"] == "7"
    assert manifest["TYPES"] == "ESP32_READER,RPI_TERMINAL"
    assert manifest["BUILT"] == "2026-03-01T00:00:00.000Z"
    assert manifest["EXPIRES"] == "2027-03-01T00:00:00.000Z"


def test_the_manifest_alone_is_enough_to_sign(source: Path, tmp_path: Path) -> None:
    keys = Workspace(tmp_path / "data", tmp_path / "offline")
    keys.make_keys()
    build(source, "out")
    apart = tmp_path / "signing-machine"
    apart.mkdir()
    (apart / "manifest.toon").write_bytes((tmp_path / "out" / "manifest.toon").read_bytes())
    command = ["release", "sign", str(apart / "manifest.toon"), "--offline", str(keys.offline)]
    assert run(command) == 0
    (tmp_path / "out" / "manifest.sig").write_bytes((apart / "manifest.sig").read_bytes())
    assert run(["release", "bundle", "out", "--out", "app.bundle"]) == 0
    made = split((tmp_path / "app.bundle").read_bytes())
    releases.check_signature(made, [public_text(RoleKeys.make().release), _release_key(keys)])
    with pytest.raises(ToolError, match="no trusted release key"):
        releases.check_signature(made, [public_text(RoleKeys.make().release)])


def _release_key(workspace: Workspace) -> str:
    return next(key.key for key in workspace.read_trust() if key.role == "release")


def test_an_unsigned_release_has_no_bundle(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(source, "out")
    assert run(["release", "bundle", "out", "--out", "app.bundle"]) == 1
    assert "sign it with: ks release sign out" in capsys.readouterr().err


def test_a_file_changed_after_the_build_is_noticed(source: Path, tmp_path: Path) -> None:
    build(source, "out")
    (tmp_path / "out" / "main.py").write_text("evil")
    with pytest.raises(ToolError, match="changed after the release was built"):
        releases.read_release(tmp_path / "out")
    (tmp_path / "out" / "main.py").unlink()
    with pytest.raises(ToolError, match="is missing"):
        releases.read_release(tmp_path / "out")


def test_a_release_is_never_built_over_another(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(source, "out")
    before = files_of(tmp_path / "out")
    assert build(source, "out", "--counter", "9") == 1
    assert "is there already" in capsys.readouterr().err
    assert files_of(tmp_path / "out") == before


def test_the_build_time_without_any_wish_is_now(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert releases.built_ms("") > timetext.parse_ms("2026-01-01T00:00:00Z")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ToolError, match="SOURCE_DATE_EPOCH"):
        releases.built_ms("")


def test_each_step_tells_programs_what_it_made(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = Workspace(tmp_path / "data", tmp_path / "offline")
    keys.make_keys()

    built = told(capsys, "build", "1.2.0", "--from", str(source), "--out", "out")
    assert (built["fw1"], built["fw2"], built["files"]) == ("app-1.2.0", "1.2.0", 2)
    assert told(capsys, "sign", "out", "--offline", str(keys.offline))["folder"] == "out"
    bundled = told(capsys, "bundle", "out", "--out", "app.bundle")
    data = (tmp_path / "app.bundle").read_bytes()
    assert (bundled["bytes"], bundled["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_release_for_a_chip_carries_its_native_code_and_no_other_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: Compiler
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["release", "build", "1.2.0", "--bytecode", "--built", "2026-03-01"]
    chip = [*command, "--architecture", "xtensawin"]
    assert run([*chip, "--out", "two"]) == 0
    monkeypatch.setattr(compiled, "compiled_with_names", compiler.with_names)
    assert run([*chip, "--out", "one"]) == 0  # made by another process, perhaps
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert run([*chip, "--tables", "4", "--out", "large"]) == 0
    assert run([*command, "--out", "plain"]) == 0
    names = {path.name for path in (tmp_path / "one" / "ks_crypto").iterdir()}
    assert {"viper_field.mpy", "viper_sha512.mpy", "port.mpy"} < names
    assert not names & {"bigint.mpy", "sodium.mpy", "sha512_words.mpy"}
    base = "ks_crypto/viper_base.mpy"
    sizes = [(tmp_path / made / base).stat().st_size for made in ("one", "large")]
    assert sizes[1] - sizes[0] >= 3 * 3840
    assert not (tmp_path / "plain" / base).exists()
    assert (tmp_path / "plain" / "ks_crypto" / "bigint.mpy").exists()


def told(capsys: pytest.CaptureFixture[str], *command: str, status: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["release", *command, "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_release_is_shown_with_its_files_and_its_signer(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(source, "out", "--board", "esp32, esp32-s3", "--stage0", "2", "--image-min", "1.25.0")
    unsigned = told(capsys, "inspect", "out")
    assert (unsigned["signature"], unsigned["signed_by"]) == ("none", None)
    assert (unsigned["board"], unsigned["stage0"]) == ("esp32,esp32-s3", "2")
    assert unsigned["image_min"] == "1.25.0"
    keys = Workspace(tmp_path / ".ks", tmp_path / ".ks-offline")
    keys.make_keys()
    run(["release", "sign", "out"])
    run(["release", "bundle", "out", "--out", "app.bundle"])
    signed = told(capsys, "inspect", "app.bundle")
    assert signed == told(capsys, "inspect", "out")
    assert signed["signature"] == "trusted"
    assert signed["signed_by"] == key_id(signing.decode_public_key(_release_key(keys)))
    assert signed["bytes"] == (tmp_path / "app.bundle").stat().st_size
    assert [file["path"] for file in signed["files"]] == ["ks_agent/__init__.py", "main.py"]
    (tmp_path / "nowhere").mkdir()
    assert told(capsys, "inspect", "out", "--data", "nowhere")["signature"] == "unchecked"


def test_the_signature_of_a_stranger_is_told_and_fails(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Workspace(tmp_path / ".ks", tmp_path / "ours").make_keys()
    Workspace(tmp_path / "other", tmp_path / "theirs").make_keys()
    build(source, "out")
    run(["release", "sign", "out", "--offline", "theirs"])
    assert told(capsys, "inspect", "out", status=1)["signature"] == "stranger"
    assert run(["release", "inspect", "out"]) == 1
    assert "SIGNED BY A STRANGER" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["inspect", "x"], ["diff", "x", "x"]])
def test_what_is_no_release_is_told_in_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(["release", *command]) == 1
    (tmp_path / "x").write_bytes(b"not a bundle")
    assert run(["release", *command]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "ks: x: No such file or directory",
        "ks: x: not a bundle",
    ]


def test_the_difference_of_two_releases_is_what_a_terminal_fetches(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "large.py").write_bytes(b"x = 1\n" * 1000)
    build(source, "old")
    (source / "main.py").write_text("changed")
    build(source, "new", "--id", "new")
    found = told(capsys, "diff", "old", "new")
    assert found["fetched"] == [{"path": "main.py", "bytes": 7}]
    assert (found["kept"], found["removed"]) == (2, [])
    assert found["bytes"] == found["bundle_bytes"] - 6000
    run(["release", "diff", "old", "new"])
    assert f"{found['bytes']} of {found['bundle_bytes']} bytes" in capsys.readouterr().out


def test_an_image_and_opaque_files_are_releases_too(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "micropython.bin").write_bytes(b"\xe9" * 5000)
    of_image = ["--kind", "image", "--from", "image", "--image", "1.26.0", "--mpy", "6.3"]
    command = ["build", "2.0.0", *of_image, "--architecture", "xtensawin"]
    assert told(capsys, *command)["folder"] == "image-2.0.0"
    shown = told(capsys, "inspect", "image-2.0.0")
    assert (shown["kind"], shown["image"], shown["mpy"]) == ("image", "1.26.0", "6.3")
    assert (shown["arch"], shown["types"]) == ("xtensawin", "ESP32_TERMINAL,ESP32_READER")
    opaque = ["build", "3.0.0", "--kind", "opaque", "--from", str(source), "--types"]
    told(capsys, *opaque, "MOBILE_KIOSK")
    assert told(capsys, "inspect", "opaque-3.0.0")["kind"] == "opaque"


def test_bytecode_says_what_loads_it(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "helper.py").write_text("def help():\n    return 1\n")
    assert build(source, "out", "--bytecode") == 0
    shown = told(capsys, "inspect", "out")
    assert shown["mpy"] == "6.3"
    assert "arch" not in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "opaque", "--from", "source"], "device types of --types"),
        (["--kind", "image"], "made of --from FOLDER"),
        (["--kind", "image", "--from", "source"], "one file micropython.bin"),
        (["--kind", "applet", "--from", "source"], "no kind 'applet'"),
        (["--architecture", "xtensawin"], "needs --bytecode"),
        (["--bytecode", "--architecture", "z80"], "one of x86, x64, xtensawin"),
        (["--bytecode", "--architecture", "x86", "--tables", "3"], "one of 1, 2, 4"),
        (["--bytecode", "--architecture", "x86", "--from", "source"], "no ks_crypto"),
    ],
)
def test_what_cannot_be_in_a_release_is_told_in_one_line(
    source: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run(["release", "build", "1.2.0", "--out", "out", *options]) == 1
    assert said in capsys.readouterr().err
    assert not Path("out").exists()


def test_the_architectures_that_are_offered_are_those_that_are_made() -> None:
    assert set(ARCHITECTURES) == set(compiled.ARCHITECTURES)
