"""The steps that the unit's own firmware does: booted, tested, keyed, proven, written, sealed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from ks_simulator.keys import SEED_BYTES, public_text

from ..device_link import DeviceSilent
from .errors import Silent, UnitFailed
from .feature_tests import Bench, test_unit

if TYPE_CHECKING:
    from .run import UnitRun

# Without characters that look alike on a label. 31^12 is 59 bits; WPA2 asks for 8 characters.
SETUP_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
SETUP_CHARACTERS: Final = 12


def booted(run: UnitRun) -> dict[str, Any]:
    """The first word of its firmware, which is the image's."""
    told = _first_word(run)
    release = run.line.image.facts["release"]["fw2"]
    if told.release and told.release != release:
        raise UnitFailed(f"it runs release {told.release}, and {release} was written")
    return {"release": told.release, "micropython": told.micropython, "heap": told.heap}


def _first_word(run: UnitRun) -> Any:
    """Raises Silent once, so that it is written anew at its next run; then UnitFailed."""
    try:
        return run.hello()
    except Silent as error:
        run.close_link()
        unit = run.unit
        if run.store.failures(unit, "booted"):
            raise UnitFailed("written twice, and it does not start: see its log") from None
        run.go_back("identified", str(error))
        raise


def tested(run: UnitRun) -> dict[str, Any]:
    """Every test, with its readings and limits."""
    line = run.line

    def show(name: str) -> None:
        line.view.show(run.port, f"test {name}")

    bench = Bench(run.batch, line.board, run.link(), line.people, run.port, show)
    test_unit(bench, run.detail)
    return {}


def keyed(run: UnitRun) -> dict[str, Any]:
    """A key, made by the unit, or with `key = "injected"` here; then its serial number."""
    public = _inject(run) if run.batch.key == "injected" else str(run.link().make_key())
    run.unit = run.store.give_serial(run.unit, run.batch.range, run.batch.device_id)
    run.unit = run.store.note(run.unit, public_key=public)
    return {"public_key": public, "serial": run.unit.serial, "d1": run.unit.d1}


def _inject(run: UnitRun) -> str:
    """The private key is in this function's memory alone. One that is there already stays."""
    held = str(run.hello().public)
    if held:
        return held
    seed = secrets.token_bytes(SEED_BYTES)
    public = str(run.link().inject_key(seed))
    if public != public_text(seed):
        raise UnitFailed("it tells another key than it was given")
    return public


def proven(run: UnitRun) -> dict[str, Any]:
    """It signs KS-PROOF-1 with a challenge of ours; the link checks the signature."""
    proof = run.link().prove(str(run.unit.d1), str(run.unit.public_key))
    return {"challenge": proof.challenge, "nonce": proof.nonce, "signature": proof.signature}


def written(run: UnitRun) -> dict[str, Any]:
    """Everything that it is told, but for the last step that makes it a terminal."""
    batch, link = run.batch, run.link()
    token = run.line.office.token(run.unit)
    run.log.hide(token.text if token else "")
    password = run.unit.setup_password or _setup_password()
    run.log.hide(password)
    run.unit = run.store.note(
        run.unit,
        setup_password=password,
        otrt_hash=token.hash if token else None,
        otrt_expires_ms=token.expires_ms if token else None,
    )
    link.write_trust(batch.read_trust())
    link.write("board", {"BOARD": batch.board_name})
    link.write("setup", {"SETUP_PASSWORD": password})
    if batch.wifi is not None:
        link.write_network(batch.wifi.ssid, batch.wifi_password())
    link.write_factory(_words(run, token.text if token else ""))
    return {"server": batch.server.url, "otrt_hash": run.unit.otrt_hash}


def _words(run: UnitRun, token: str) -> dict[str, str]:
    batch = run.batch
    words = {
        "D1": str(run.unit.d1),
        "D2": batch.device_type,
        "D4": batch.maker,
        "D5": batch.model or batch.board_name,
        "M1": f"serial={run.unit.serial}",
        "OTRT": token,
        "SERVER": batch.server.url,
        "TIME_SERVER": batch.server.time_server,
        "CA": batch.authority(),
    }
    return {name: text for name, text in words.items() if text}


def sealed(run: UnitRun) -> dict[str, Any]:
    """From now on it is a terminal, and silent at its port."""
    try:
        d1 = run.link().seal()
    except DeviceSilent:  # its answer may have been the last thing that got lost
        from .resume import is_sealed

        if not is_sealed(run):
            raise
        d1 = run.unit.d1
    if d1 != run.unit.d1:
        raise UnitFailed(f"it calls itself {d1}, and not {run.unit.d1}")
    run.close_link()
    return {"d1": d1}


def _setup_password() -> str:
    return "".join(secrets.choice(SETUP_ALPHABET) for _ in range(SETUP_CHARACTERS))
