"""The terminal's core: bytes and events in, effects out; one source for both interpreters."""
