"""A software ESP32: flash in a file, a ROM loader for the real esptool, and what was flashed run.

flash, slip, models, rom_loader: without input and output of their own.  line: a pty or TCP.
boot, program: what the chip makes of its flash.  control: the world around it.  chip: its life.
rack: chips for tests and tools, in a thread.  device/: the chip's modules, under MicroPython.
"""
