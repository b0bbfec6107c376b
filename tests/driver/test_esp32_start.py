"""The start of a chip up to stage 0, under fakes: our frozen `_boot.py`, what boot.py mounts."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.power.stock_image import volumes

FROZEN = Path(__file__).parents[2] / "firmware" / "frozen" / "_boot.py"


class Reset(Exception):
    pass


def run_frozen(monkeypatch: pytest.MonkeyPatch, mounted: Any, has_boot: bool) -> list[str]:
    """What it does: the partitions that it mounts, and whether it starts the frozen boot.py."""
    done: list[str] = []

    def mount(device: str, path: str) -> None:
        done.append(f"mount {device} {path}")
        if mounted is not None:
            raise mounted

    def stat(path: str) -> tuple[int, ...]:
        if path == "/boot.py" and has_boot:
            return ()
        raise OSError(2)

    monkeypatch.setitem(sys.modules, "volumes", SimpleNamespace(mount=mount))
    monkeypatch.setitem(sys.modules, "flashbdev", SimpleNamespace(bdev="vfs"))
    monkeypatch.setitem(sys.modules, "os", SimpleNamespace(stat=stat))
    monkeypatch.setitem(sys.modules, "boot", None)
    source = compile(FROZEN.read_text(encoding="utf-8"), "_boot.py", "exec")
    try:
        exec(source, {"__name__": "_boot"})
    except ImportError:
        done.append("boot")
    return done


def test_a_vfs_with_a_boot_py_is_mounted_and_left_to_micropython(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_frozen(monkeypatch, None, has_boot=True) == ["mount vfs /"]


def test_an_empty_vfs_is_started_by_what_is_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_frozen(monkeypatch, None, has_boot=False) == ["mount vfs /", "boot"]


def test_a_vfs_that_cannot_be_mounted_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_frozen(monkeypatch, OSError(84), has_boot=True) == ["mount vfs /", "boot"]


def chip(monkeypatch: pytest.MonkeyPatch, found: list[str]) -> list[Any]:
    done: list[Any] = []

    def reset() -> None:
        raise Reset

    class Partition:
        TYPE_DATA = 1

        @staticmethod
        def find(kind: int, label: str) -> list[str]:
            done.append(("find", kind, label))
            return found

    def make(device: str, **options: Any) -> str:
        return f"{device} {options}"

    fake_vfs = SimpleNamespace(VfsLfs2=make, mount=lambda *given: done.append(given))
    monkeypatch.setitem(sys.modules, "esp32", SimpleNamespace(Partition=Partition))
    monkeypatch.setitem(sys.modules, "vfs", fake_vfs)
    monkeypatch.setitem(sys.modules, "machine", SimpleNamespace(reset=reset))
    console = SimpleNamespace(kbd_intr=lambda byte: done.append(("kbd_intr", byte)))
    monkeypatch.setitem(sys.modules, "micropython", console)
    monkeypatch.setattr(time, "sleep_ms", done.append, raising=False)
    return done


def test_nobody_interrupts_the_start_of_a_provisioned_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = chip(monkeypatch, ["partition"])
    module = volumes()
    monkeypatch.setattr(module, "PROVISIONED", str(tmp_path / "factory.toon"))
    module.start()
    assert ("kbd_intr", -1) not in done
    (tmp_path / "factory.toon").touch()
    module.start()
    assert ("kbd_intr", -1) in done


def test_boot_py_mounts_the_partition_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    done = chip(monkeypatch, ["partition"])
    module = volumes()
    assert callable(module.start())
    assert done == [("find", 1, "data"), ("partition {'mtime': False}", "/data")]


def test_a_chip_without_that_partition_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chip(monkeypatch, [])
    with pytest.raises(Reset):  # again in an hour: the prompt is for nobody
        volumes().start()


@pytest.mark.parametrize(("status", "pauses"), [(75, []), (1, [5000]), (78, [3600000])])
def test_a_chip_is_reset_at_the_end_of_a_life_after_a_pause_that_fits(
    monkeypatch: pytest.MonkeyPatch, status: int, pauses: list[int]
) -> None:
    done = chip(monkeypatch, ["partition"])
    leave = volumes().start()
    done.clear()
    with pytest.raises(Reset):
        leave(status)
    assert done == pauses


def test_a_dormant_chip_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    chip(monkeypatch, ["partition"])
    pauses: list[int] = []

    def pause(ms: int) -> None:
        pauses.append(ms)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep_ms", pause)
    leave = volumes().start()
    with pytest.raises(KeyboardInterrupt):
        leave(0)
