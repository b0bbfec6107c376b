"""`network` of an ESP32: see chip_network.py."""

CHIP.bring("network", globals())
