"""Ed25519 and SHA-512 for MicroPython 1.24 or newer and CPython 3.11 or newer; usable alone.

ed25519.py  keys, signatures, verification; chooses an engine. What is protected is said there
sha512.py   the hash that Ed25519 needs and MicroPython lacks
strict.py   which keys and signatures may be looked at at all, by every engine
port.py     the agent's `crypto` port on top of these

Engines: viper.py and viper_points.py, on native code that `ks_viper` makes; bigint.py and what
begins with its name, in plain Python; sodium.py, on PyNaCl.
"""
