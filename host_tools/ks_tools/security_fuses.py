"""The eFuses of a unit, read and burned with espefuse 5.6, which is a program of its own.

What is burned already is found in what the unit says, and not burned again.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .console import ToolError
from .security_levels import ESP32, Flags, Key, Level, Operation, Protect

KEY_BYTES: Final = 32
LIMIT_S: Final = 120
# The purposes of an ESP32's blocks, as `espefuse burn-key` names them.
_ESP32_BLOCKS: Final = {"BLOCK1": "flash_encryption", "BLOCK2": "secure_boot_v2"}


@dataclass(frozen=True)
class Target:
    """A unit at a serial port, or the file in which `espefuse --virt` keeps a chip's eFuses."""

    chip: str
    port: str = ""
    virtual: Path | None = None

    @property
    def options(self) -> list[str]:
        if self.virtual is not None:
            return ["--chip", self.chip, "--virt", "--path-efuse-file", str(self.virtual)]
        return ["--chip", self.chip, "--port", self.port or "PORT"]

    def read(self) -> Fuses:
        """Raises ToolError where no chip answers."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "summary.json"
            run_tool(
                "espefuse", [*self.options, "summary", "--format", "json", "--file", str(file)]
            )
            try:
                found = json.loads(file.read_text("utf-8"))
                return Fuses({name: dict(fuse) for name, fuse in found.items()})
            except (OSError, ValueError, AttributeError, TypeError):
                raise ToolError("the answer of espefuse is not understood") from None

    def burn(self, commands: Sequence[Sequence[str]]) -> None:
        """All of them in one run, which looks at all of them before it burns the first."""
        arguments = [word for command in commands for word in command]
        run_tool("espefuse", [*self.options, "--do-not-confirm", *arguments])


@dataclass(frozen=True)
class Fuses:
    """What `espefuse summary --format json` says."""

    fields: Mapping[str, Mapping[str, Any]]

    @property
    def mac(self) -> str:
        return str(self._field("MAC")["value"])[:17].lower()

    def number(self, name: str) -> int:
        return int(str(self._field(name)["raw_value"]), 16)

    def content(self, name: str) -> bytes:
        """A block's bytes. Raises ValueError for one that cannot be read."""
        return bytes.fromhex(str(self._field(name)["value"]))

    def can_read(self, name: str) -> bool:
        return bool(self._field(name)["readable"])

    def can_write(self, name: str) -> bool:
        return bool(self._field(name)["writeable"])

    def _field(self, name: str) -> Mapping[str, Any]:
        try:
            return self.fields[name]
        except KeyError:
            raise ToolError(f"the chip has no eFuse {name}: is it another chip?") from None


def run_tool(module: str, arguments: Sequence[str]) -> str:
    """What it said. Raises ToolError with its last words; they never hold a key."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{module} did not come to an end in {LIMIT_S} s") from None
    said = f"{done.stdout}\n{done.stderr}".strip()
    if done.returncode:
        if f"No module named {module}" in said:
            raise ToolError(f"{module} is missing; get it with: pip install 'ks-terminal[factory]'")
        raise ToolError(f"{module} failed: {said.splitlines()[-1] if said else 'without a word'}")
    return said


def key_path(key: Key, keys: Path, mac: str) -> Path:
    return keys / key.file.format(mac=mac.replace(":", "") or "MAC")


def remaining(level: Level, fuses: Fuses | None, digest: bytes) -> list[Operation]:
    """What is still to be burned; `fuses`: None for a chip on which nothing is.

    Raises ToolError for a chip on which it cannot be.
    """
    left: list[Operation] = []
    for operation in level.operations:
        if fuses is None:
            left.append(operation)
        elif isinstance(operation, Flags):
            missing = _missing(operation, fuses)
            if missing:
                left.append(Flags(missing))
        elif isinstance(operation, Protect):
            if fuses.can_write(operation.field):
                left.append(operation)
        elif not _holds(operation, fuses, digest, level.chip):
            left.append(operation)
    return left


def _missing(flags: Flags, fuses: Fuses) -> tuple[tuple[str, int], ...]:
    missing = tuple(
        (name, value) for name, value in flags.values if fuses.number(name) & value != value
    )
    for name, _ in missing:
        if not fuses.can_write(name):
            raise ToolError(f"{name} is write-protected on this chip, and is not what it should be")
    return missing


def _holds(key: Key, fuses: Fuses, digest: bytes, chip: str) -> bool:
    """Whether the key is burned. A secret one cannot be compared: that it is hidden is enough."""
    for block in key.blocks:
        if chip != ESP32 and fuses.fields[_purpose(block)]["value"] != key.purpose:
            continue
        hidden = not fuses.can_read(block)
        if key.secret and hidden and not fuses.can_write(block):
            return True
        if not key.secret and not hidden and fuses.content(block) == digest:
            return True
        if chip != ESP32 or hidden or fuses.number(block):
            raise ToolError(f"{block} of this chip holds another key for the same purpose")
    if key.secret and not fuses.can_write("RD_DIS"):
        raise ToolError(
            "RD_DIS of this chip is write-protected, as secure-boot leaves it: a key could not be "
            "hidden from software any more. It is too late for this level."
        )
    return False


def _purpose(block: str) -> str:
    return f"KEY_PURPOSE_{block[-1]}"


def commands(
    operations: Sequence[Operation], fuses: Fuses | None, keys: Path, mac: str
) -> list[list[str]]:
    """What follows espefuse's options, one list a command. Raises ToolError: no block is free."""
    return [_command(operation, fuses, keys, mac) for operation in operations]


def _command(operation: Operation, fuses: Fuses | None, keys: Path, mac: str) -> list[str]:
    if isinstance(operation, Protect):
        return ["write-protect-efuse", operation.field]
    if isinstance(operation, Flags):
        words = [word for name, value in operation.values for word in (name, str(value))]
        return ["burn-efuse", *words]
    block = _free(operation, fuses)
    path = str(key_path(operation, keys, mac))
    if block in _ESP32_BLOCKS:
        return ["burn-key", _ESP32_BLOCKS[block], path]
    return ["burn-key", block, path, operation.purpose]


def _free(key: Key, fuses: Fuses | None) -> str:
    for block in key.blocks:
        if fuses is None:
            return block
        is_blank = fuses.can_read(block) and fuses.can_write(block) and not fuses.number(block)
        if is_blank and (block in _ESP32_BLOCKS or fuses.number(_purpose(block)) == 0):
            return block
    raise ToolError(f"none of the key blocks is free: {', '.join(key.blocks)}")


def write_key(path: Path, content: bytes | None) -> None:
    """For its owner alone (mode 600), on the disk before anything is burned. `content`: None makes
    a secret one; one that is there is kept, for a run that was interrupted."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if content is None and path.exists():
        if path.stat().st_size != KEY_BYTES:
            raise ToolError(f"{path} is no key of {KEY_BYTES} bytes")
        path.chmod(0o600)
        return
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if content is None else os.O_TRUNC)
    with open(path, "wb", opener=lambda name, _: os.open(name, flags, 0o600)) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(secrets.token_bytes(KEY_BYTES) if content is None else content)
        file.flush()
        os.fsync(file.fileno())
