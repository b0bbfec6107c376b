"""SHA-512 by the chips' own code against hashlib's."""

from __future__ import annotations

import hashlib
import random
import sys
from types import ModuleType

from . import parts

LENGTHS = (0, 1, 3, 111, 112, 127, 128, 129, 239, 240, 256, 300)


def sha512(architecture: str) -> ModuleType:
    facade = parts.engine(architecture, tables=1).engine
    module = sys.modules[f"{facade.__package__}.sha512"]
    assert module.ENGINE == "viper"
    return module


def test_hashes_of_every_kind_of_length_are_right(architecture: str) -> None:
    module = sha512(architecture)
    content = random.Random(1).randbytes(max(LENGTHS))
    for length in LENGTHS:
        running = module.sha512(content[:length])
        assert running.digest() == hashlib.sha512(content[:length]).digest()
        assert running.digest() == running.digest()


def test_pieces_may_be_of_any_size_and_begin_at_odd_addresses(architecture: str) -> None:
    module = sha512(architecture)
    source = random.Random(2)
    content = source.randbytes(700)
    running = module.sha512()
    at = 0
    while at < len(content):
        size = source.choice((1, 5, 128, 133, 200))
        running.update(memoryview(content)[at : at + size])  # odd, whatever `at` is
        at += size
    assert running.digest() == hashlib.sha512(content).digest()


def test_a_wiped_hash_has_forgotten_its_state_and_the_last_digest(architecture: str) -> None:
    module = sha512(architecture)
    running = module.sha512(b"secret")
    running.digest()
    running.wipe()
    assert not any(running._memory)
    assert not any(module.RESULT)
