"""`ks security`: burn what can never be undone, one level at a time, after saying what it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from . import security_image
from .console import ToolError, say, warn
from .image_folder import ImageFolder, read_folder
from .security_fuses import (
    Fuses,
    Target,
    commands,
    key_path,
    remaining,
    write_key,
)
from .security_levels import (
    CLOSE_DOWNLOAD,
    ESP32,
    FLASH_ENCRYPTION,
    LEVELS,
    NVS_ENCRYPTION,
    SECURE_BOOT,
    Key,
    Level,
    Operation,
    level_of,
)

# Secure boot v2 needs ECO3 of both: ESP-IDF, "Secure Boot v2".
_LEAST_REVISION = {"esp32": (3, 0), "esp32c3": (0, 3)}

LevelArgument = Annotated[str, typer.Argument(metavar="LEVEL", help=", ".join(LEVELS))]
ImageOption = Annotated[Path, typer.Option("--image", help="The folder of `ks image build`.")]
KeysOption = Annotated[
    Path, typer.Option("--keys", help="Folder for the units' keys; its files have mode 600.")
]
PublicOption = Annotated[
    Path | None,
    typer.Option("--public-key", help="secure-boot: the signing key's public half (PEM)."),
]
BlockOption = Annotated[
    int | None,
    typer.Option(
        "--hmac-block",
        min=0,
        max=5,
        help="nvs-encryption by HMAC: the key block that the image is built for.",
    ),
]
PortOption = Annotated[str, typer.Option("--port", help="The unit's serial port.")]
VirtualOption = Annotated[
    Path | None, typer.Option("--virt", help="For tests: a file that plays a chip's eFuses.")
]
BurnOption = Annotated[bool, typer.Option("--burn", help="Burn. Without it, nothing is.")]
ConfirmOption = Annotated[
    str, typer.Option("--confirm", metavar="LEVEL:MAC", help="What is burned, and into which unit.")
]

app = typer.Typer(
    help="Burn security levels into units, for ever.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def security() -> None:
    """Burn security levels into units, for ever. Each is a choice of its own: docs/security.md."""


@app.command("plan")
def plan(
    level: LevelArgument,
    image: ImageOption,
    keys: KeysOption = Path("keys"),
    hmac_block: BlockOption = None,
) -> None:
    """Show what a level burns, and what can never be undone. Touches no unit."""
    folder = read_folder(image)
    security_image.check_image(level, folder, hmac_block)
    wanted = level_of(level, folder.chip, hmac_block)
    _tell(wanted, folder, keys, None, remaining(wanted, None, b""), Target(folder.chip))
    say("")
    say("nothing was burned")


@app.command("apply")
def apply(
    level: LevelArgument,
    image: ImageOption,
    keys: KeysOption = Path("keys"),
    public_key: PublicOption = None,
    hmac_block: BlockOption = None,
    port: PortOption = "",
    virt: VirtualOption = None,
    burn: BurnOption = False,
    confirm: ConfirmOption = "",
) -> None:
    """Burn a level into one unit: with --burn --confirm LEVEL:MAC. Without, show what would be.

    What is burned already is not burned again. Afterwards the eFuses are read and compared.
    """
    if bool(port) == (virt is not None):
        raise ToolError("say which unit: --port PORT, or for tests --virt FILE")
    folder = read_folder(image)
    security_image.check_image(level, folder, hmac_block)
    digest = _digest(level, folder, public_key)
    wanted = level_of(level, folder.chip, hmac_block)
    target = Target(folder.chip, port, virt)
    fuses = target.read()
    _check_unit(level, folder, fuses, hmac_block, is_real=virt is None)
    left = remaining(wanted, fuses, digest)
    if not left:
        say(f"{level} is burned into {fuses.mac} already" if wanted.operations else
            f"{level}: there is nothing to burn on {fuses.mac}")  # fmt: skip
        return
    _tell(wanted, folder, keys, fuses, left, target)
    typed = f"{level}:{fuses.mac}"
    if not burn or confirm.lower() != typed:
        say("")
        say("nothing was burned")
        if burn:
            raise ToolError(f"to burn this for ever, add: --confirm {typed}")
        return
    _burn(target, wanted, left, fuses, keys, digest)
    if port and level == CLOSE_DOWNLOAD:
        warn("the ROM loader is closed: what was burned cannot be read back")
        return
    if remaining(wanted, target.read(), digest):
        raise ToolError("what was read back is not what was burned: keep this unit apart")
    say(f"{level} is burned into {fuses.mac}; read back, it is what was wanted")


def _digest(level: str, folder: ImageFolder, public_key: Path | None) -> bytes:
    if level != SECURE_BOOT:
        return b""
    if public_key is None:
        raise ToolError("secure-boot needs --public-key: the key that the image is signed with")
    return security_image.verify_signatures(folder, public_key)


def _check_unit(
    level: str, folder: ImageFolder, fuses: Fuses, hmac_block: int | None, is_real: bool
) -> None:
    if is_real:
        folder.check_unit(folder.chip, fuses.mac)
    version = fuses.number("WAFER_VERSION_MAJOR"), fuses.number("WAFER_VERSION_MINOR")
    least = _LEAST_REVISION.get(folder.chip, (0, 0))
    if version < least:
        raise ToolError(
            f"this {folder.chip} is of revision {version[0]}.{version[1]}, and ESP-IDF has this "
            f"level from {least[0]}.{least[1]} on"
        )
    if folder.chip == ESP32 and fuses.number("CODING_SCHEME"):
        raise ToolError("the key blocks of this chip hold fewer than 256 bits (CODING_SCHEME)")
    if level == NVS_ENCRYPTION and hmac_block is None:
        flash = level_of(FLASH_ENCRYPTION, folder.chip)
        if remaining(flash, fuses, b""):
            raise ToolError(
                "the keys of NVS would lie readable in the flash: flash-encryption comes first"
            )


def _tell(
    level: Level,
    folder: ImageFolder,
    keys: Path,
    fuses: Fuses | None,
    left: list[Operation],
    target: Target,
) -> None:
    mac = fuses.mac if fuses else ""
    unit = f"the {folder.chip} {mac}" if mac else f"an {folder.chip} on which nothing is burned"
    say(f"{level.name}, into {unit}, for the image {folder.folder}")
    say("")
    for command in commands(left, fuses, keys, mac):
        say("  espefuse " + shlex.join([*target.options, *command]))
    say("")
    say("What can never be undone:")
    for sentence in level.forever:
        say(f"  {sentence}")
    key = Path("KEY")
    for operation in level.operations:
        if isinstance(operation, Key):
            key = key_path(operation, keys, mac)
    found = security_image.notes(level.name, folder, key)
    if found:
        say("")
    for line in found:
        say(line)


def _burn(
    target: Target,
    level: Level,
    left: list[Operation],
    fuses: Fuses,
    keys: Path,
    digest: bytes,
) -> None:
    """Keys are on the disk before the first eFuse is burned: a run that is interrupted goes on."""
    for operation in left:
        if isinstance(operation, Key):
            content = None if operation.secret else digest
            write_key(key_path(operation, keys, fuses.mac), content)
    say("")
    say(f"burning {level.name}: leave the power on")
    target.burn(commands(left, fuses, keys, fuses.mac))
