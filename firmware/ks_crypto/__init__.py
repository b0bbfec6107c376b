"""Ed25519 and SHA-512 in plain Python for MicroPython 1.25 and CPython 3.11; usable alone.

sha512.py   the hash that Ed25519 needs and MicroPython lacks
strict.py   which keys and signatures may be looked at at all; shared with ports built on libsodium
ed25519.py  keys, signatures, verification
port.py     the agent's `crypto` port on top of these

Not protected in this version: nothing here runs in constant time (see `ed25519`).
"""
