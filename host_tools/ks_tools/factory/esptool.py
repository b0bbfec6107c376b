"""The flash of a chip, through esptool: a program of its own for every call.

What it says goes into the unit's log. A call that fails is tried again at the next lower baud rate.
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import Differs, Interrupted, StationFailed

CONNECT_S: Final = 30.0
# An erase of 16 MB takes a slow chip a minute; 4 MB at 115,200 baud take six.
WRITE_S: Final = 900.0
POLL_S: Final = 0.1
TABLE_OFFSET: Final = 0x8000
TABLE_BYTES: Final = 0x1000
INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")

# Of the ESP32's flash encryption, which espefuse counts among what is about the flash.
ELSEWHERE: Final = ("FLASH_CRYPT_CNT",)

_CHIP: Final = re.compile(r"^(?:Chip type|Chip is|Connected to)[: ]\s*(ESP32[A-Z0-9-]*)", re.M)
_MAC: Final = re.compile(r"^(?:BASE )?MAC:\s*((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\s*$", re.M | re.I)
_PERCENT: Final = re.compile(r"(\d{1,3})(?:\.\d)?\s?%")
_FATAL: Final = re.compile(r"(?:A fatal error occurred|fatal error|error):?\s*(.*)", re.I)
# What esptool says of a flash that does not keep what is written: the unit is at fault.
_BAD_FLASH: Final = re.compile(
    r"verification failed|verify failed|MD5 .*(mismatch|not match)", re.I
)


@dataclass(frozen=True)
class Chip:
    """What esptool has found at a port; `table` is the sector of the partition table."""

    chip: str
    mac: str
    table: bytes


@dataclass
class Esptool:
    """esptool at one port. `say` takes its lines, `progress` percents; `stop` ends it."""

    port: str
    bauds: Sequence[int]
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[int], None] = lambda percent: None
    stop: threading.Event = field(default_factory=threading.Event)
    retries: int = 0

    def detect(self) -> Chip:
        """Raises Interrupted where no chip answers."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "table.bin"
            said = self._esptool(
                ["read-flash", hex(TABLE_OFFSET), hex(TABLE_BYTES), str(file)], CONNECT_S
            )
            chip, mac = _CHIP.search(said), _MAC.search(said)
            if chip is None or mac is None:
                raise StationFailed(f"{self.port}: esptool's words are not understood: see the log")
            return Chip(chip_name(chip[1]), mac[1].lower(), file.read_bytes())

    def read(self, offset: int, size: int) -> bytes:
        """A part of the flash."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "flash.bin"
            self._esptool(["read-flash", hex(offset), hex(size), str(file)], WRITE_S)
            return file.read_bytes()

    def write(self, parts: Sequence[tuple[int, Path]], erase: bool) -> None:
        """Write files to offsets; `erase`: the whole flash first.

        The chip stays in its loader: what it writes once it runs is not what was written here.
        """
        erased = ["--erase-all"] if erase else []
        arguments = ["--after", "no-reset", "write-flash", *erased, *_places(parts)]
        self._esptool(arguments, WRITE_S)

    def erase(self, offset: int, size: int) -> None:
        """A part of the flash."""
        self._esptool(["erase-region", hex(offset), hex(size)], CONNECT_S)

    def verify(self, parts: Sequence[tuple[int, Path]]) -> None:
        """Compare, by MD5 computed on the chip, then start it. Raises Differs."""
        self._esptool(["verify-flash", *_places(parts)], WRITE_S)

    def efuses(self) -> dict[str, str]:
        """See `security_fuses`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "efuses.json"
            self._run(
                "espefuse", ["--port", self.port, "summary", "--format", "json", "--file",
                str(file)], CONNECT_S,
            )  # fmt: skip
            try:
                return security_fuses(json.loads(file.read_text("utf-8")))
            except (OSError, ValueError, AttributeError, KeyError, TypeError):
                raise StationFailed(f"{self.port}: espefuse's answer is not understood") from None

    def _esptool(self, arguments: list[str], limit_s: float) -> str:
        """At each baud rate in turn, until one is good. Raises the last one's error."""
        rates = list(self.bauds)
        while True:
            options = ["--port", self.port, "--baud", str(rates.pop(0))]
            try:
                return self._run("esptool", [*options, *arguments], limit_s)
            except Interrupted:
                if not rates or self.stop.is_set():
                    raise
                self.retries += 1
                self.say(f"again at {rates[0]} baud")

    def _run(self, module: str, arguments: list[str], limit_s: float) -> str:
        self.say(f"$ {module} {' '.join(arguments)}")
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            process_group=0,  # Ctrl-C is for us
        )
        try:
            said = self._listen(process, limit_s)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if process.returncode == 0:
            return said
        raise _error(module, self.port, said)

    def _listen(self, process: subprocess.Popen[bytes], limit_s: float) -> str:
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read_lines, args=(process, lines), daemon=True).start()
        said: list[str] = []
        end = time.monotonic() + limit_s
        while True:
            if self.stop.is_set():
                raise Interrupted("interrupted")
            if time.monotonic() > end:
                raise Interrupted(f"{self.port}: esptool took more than {limit_s:.0f} s")
            try:
                line = lines.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if line is None:
                return "\n".join(said)
            percent = _PERCENT.search(line)
            if percent is not None:
                self.progress(min(100, int(percent[1])))
            else:
                said.append(line)
                self.say(line)


def security_fuses(summary: Mapping[str, Any]) -> dict[str, str]:
    """Name to number (0x1) of what bears on security, out of espefuse's summary.

    Without blocks: they hold keys, which are read where nobody has forbidden that.
    """
    return {
        name: str(fuse["raw_value"])
        for name, fuse in summary.items()
        if (fuse.get("category") == "security" or name in ELSEWHERE)
        and not name.startswith("BLOCK")
        and fuse.get("readable", True)
    }


def chip_name(text: str) -> str:
    """ESP32-D0WD-V3 is an esp32, ESP32-S3 an esp32s3."""
    match = re.match(r"ESP32-?(S\d|C\d+|H\d+|P\d+)?(?![A-Z0-9])", text)
    return "esp32" + (match[1] or "").lower() if match else "esp32"


def _read_lines(process: subprocess.Popen[bytes], lines: queue.Queue[str | None]) -> None:
    """Lines end in LF or, where progress is shown, in CR."""
    assert process.stdout is not None
    held = b""
    try:
        while data := os.read(process.stdout.fileno(), 4096):
            *whole, held = re.split(rb"[\r\n]+", held + data)
            for line in whole:
                if line.strip():
                    lines.put(line.decode("utf-8", "replace").rstrip())
    except (OSError, ValueError):
        pass  # it was ended
    if held.strip():
        lines.put(held.decode("utf-8", "replace").rstrip())
    lines.put(None)


def _error(module: str, port: str, said: str) -> Exception:
    if f"No module named {module}" in said:
        return StationFailed(f"{module} is missing: pip install 'ks-terminal[factory]'")
    found = _FATAL.findall(said)
    last = (said.splitlines() or ["it said nothing"])[-1]
    text = " ".join((found[-1] if found and found[-1] else last).split())[:160]
    if _BAD_FLASH.search(said):
        return Differs(f"the flash does not hold what was written: {text}")
    return Interrupted(f"{port}: {text}")


def _places(parts: Sequence[tuple[int, Path]]) -> list[str]:
    return [text for offset, path in sorted(parts) for text in (hex(offset), str(path))]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
