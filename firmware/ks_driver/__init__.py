"""Drivers: what performs the core's effects, on CPython and on MicroPython."""
