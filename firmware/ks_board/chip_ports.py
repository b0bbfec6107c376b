"""An ESP32 as the agent's ports, and what comes before an agent: the console, setup mode."""

import os

import micropython

from ks_agent.factory import PATH as FACTORY_PATH
from ks_agent.ports import Ports
from ks_driver.build import built_ms
from ks_driver.files import HostFs
from ks_driver.host import TABLE_PATH, HostClock, HostPartition

from . import images
from .esp32_board import Esp32Board
from .rtc import rtc_ms
from .vault import NvsVault
from .wifi import RadioRng


def make_ports(root, slot, stage0_version, crypto, memory):
    """`crypto` is ks_crypto.port.Ed25519Crypto, which is imported before all else."""
    # Relative to the root of `vfs`, "data" would be a folder there and not what is mounted.
    fs = HostFs("/" if root == "." else root)
    vault = NvsVault()
    partition = HostPartition(slot, stage0_version)
    partition.images = images.find()
    # The chip's clock runs through a reset: later than the build, it is nearer to the true time.
    return Ports(
        clock=HostClock(max(built_ms(fs, slot), rtc_ms())),
        rng=RadioRng(),
        fs=fs,
        vault=vault,
        partition=partition,
        crypto=crypto(fs, TABLE_PATH),
        board=Esp32Board(vault, memory),
    )


def begin(root, slot, stage0_version, crypto, memory):
    """(ports, mode): "" for the terminal's life, "factory" before it is provisioned, "setup" for
    the life that was asked for before the reset.
    """
    from .reset_reason import settle

    ports = make_ports(root, slot, stage0_version, crypto, memory)
    mode = settle(ports.fs)
    if not is_provisioned(ports.fs):
        return ports, "factory"
    close_console()
    return ports, mode


def is_provisioned(fs):
    try:
        fs.stat(FACTORY_PATH)
    except OSError:
        return False
    return True


def close_console():
    """No Ctrl-C and no second console from here on; boot.py never comes back to a prompt."""
    micropython.kbd_intr(-1)
    if hasattr(os, "dupterm"):
        os.dupterm(None)
