"""Why the last life ended, and what the next one is to be: in the RTC's memory over a reset."""

import machine

from ks_agent.store import STATE, Store

from .rtc import MARK, MODE

PATH = STATE + "crash.toon"


def settle(fs):
    """At a boot: what the chip's watchdog has ended is a crash like others. Gives the mode that was
    asked for before the reset, or "".
    """
    rtc = machine.RTC()
    memory = bytes(rtc.memory())
    rtc.memory(b"")
    if memory[: len(MODE)] == MODE:
        return memory[len(MODE) :].decode()
    if machine.reset_cause() == machine.WDT_RESET and memory[: len(MARK)] == MARK:
        doing = memory[len(MARK) :].decode()
        if doing:  # else it was found, and written, before the watchdog bit
            keep(fs, doing)
    return ""


def ask_for(mode):
    """The next boot, if a reset is what comes before it, is into this mode."""
    machine.RTC().memory(MODE + mode.encode())


def keep(fs, text):
    try:
        Store(fs).write(PATH, {"CLASS": "Watchdog", "TEXT": text, "TRACE": ""})
    except Exception:  # a reset without a reason is better than none
        pass
