"""The terminal's core: bytes and events in, effects out; the same source on CPython and MicroPython."""
