"""`esp32` of an ESP32: see chip_esp32.py."""

CHIP.bring("esp32", globals())
