"""`machine` of an ESP32: see chip_machine.py."""

CHIP.bring("machine", globals())
