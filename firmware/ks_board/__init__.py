"""Ports and radio of an ESP32: what the core needs that a computer has otherwise."""
