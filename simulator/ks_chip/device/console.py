"""What an ESP32 does at its serial line when nothing else runs: a prompt; and Ctrl-C before that.

Not the real one: a line at a time, no raw mode, no editing. On a terminal line (a pty that is the
process's controlling terminal), the byte 03 interrupts the program until kbd_intr(-1).
"""

import os
import sys

import micropython as real

BANNER = "MicroPython on a software ESP32; a model of the prompt, a line at a time"


def raw_line(interrupts):
    """The line as UART0 has it: every byte as it comes, none echoed."""
    signals = "isig intr '^C'" if interrupts else "-isig"
    os.system("stty raw -echo %s 2>/dev/null" % signals)


class MicroPython:
    """`micropython`, but for what concerns the serial line."""

    def __getattr__(self, name):
        return getattr(real, name)

    def kbd_intr(self, byte):
        raw_line(byte == 3)
        CHIP.event("kbd_intr %d" % byte)

    def alloc_emergency_exception_buf(self, size):
        pass


def prompt():
    print(BANNER)
    names = {"__name__": "__main__"}
    while True:
        sys.stdout.write(">>> ")
        try:
            line = ""
            while not line.endswith(("\r", "\n")):
                byte = sys.stdin.read(1)
                if not byte:
                    return
                line += byte
            line = line.strip()
            try:
                found = eval(line, names) if line else None
                if found is not None:
                    print(repr(found))
            except SyntaxError:
                exec(line, names)
        except (Exception, KeyboardInterrupt) as error:
            sys.print_exception(error)
