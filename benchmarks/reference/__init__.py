"""What our signatures are measured against: RFC 8032's own Python code, on the same interpreter.

rfc8032.py     the code of the RFC, under its licence
sha512.py      gets the SHA-512 in Python that micropython-lib once had; it is not kept here
operations.py  runs on MicroPython: does operations and tells what they took
heartbeats.py  runs on MicroPython: a terminal that tells what its heartbeats take
"""
