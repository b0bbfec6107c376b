"""The board that the factory has written down: /board.toon, a record like others."""

from ks_agent.store import Store

PATH = "board.toon"


def read_board(fs):
    """NAME, CHIP, FEATURE of {KIND, PINS, OPTIONS}; {} where there is none that can be read."""
    return Store(fs).read_or_none(PATH) or {}
