"""What is kept of a crash of the core, for the log upload after the restart."""

import io
import sys

from ks_agent.store import STATE, Store

PATH = STATE + "crash.toon"
MAX_TEXT_CHARACTERS = 200
MAX_TRACE_CHARACTERS = 1000


def record_crash(fs, error):
    """Write the record; does nothing when that fails too: the crash itself matters more."""
    try:
        Store(fs).write(PATH, crash_message(error))
    except Exception:
        pass


def crash_message(error):
    """CLASS, TEXT and TRACE (its last lines) of an exception, as a record."""
    return {
        "CLASS": type(error).__name__,
        "TEXT": str(error)[:MAX_TEXT_CHARACTERS],
        "TRACE": trace_of(error)[-MAX_TRACE_CHARACTERS:],
    }


def trace_of(error):
    try:
        import traceback
    except ImportError:  # MicroPython
        text = io.StringIO()
        sys.print_exception(error, text)
        return text.getvalue().strip()
    return "".join(traceback.format_exception(error)).strip()
