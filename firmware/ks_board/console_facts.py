"""What a terminal says of itself over the serial line before it is anybody."""

import sys

MAX_MANIFEST_LINES = 128


def facts(fs, mac, board, slot, stage0_version):
    """`mac`: bytes; `board`: the record of /board.toon, or {}; `slot`: "a", "b" or ""."""
    told = {
        "MAC": "".join(["%02x" % byte for byte in mac]),
        "MPV": "%d.%d.%d" % tuple(sys.implementation.version[:3]),
        "STAGE0": str(stage0_version),
    }
    for key, name in (("BOARD", "NAME"), ("CHIP", "CHIP")):
        if isinstance(board.get(name), str):
            told[key] = board[name]
    version = release_version(fs, slot)
    if version:
        told["FW2"] = version
    return told


def release_version(fs, slot):
    """FW2 of the slot's manifest, read line by line; "" where there is none."""
    try:
        with fs.open("slot_" + slot + "/manifest.toon", "rb") as file:
            for _ in range(MAX_MANIFEST_LINES):
                line = file.readline()
                if line.startswith(b"FW2: "):
                    return line[5:].decode().strip(' "\r\n')
    except (OSError, UnicodeError):
        pass
    return ""
