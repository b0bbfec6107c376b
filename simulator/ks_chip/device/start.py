"""A software ESP32 switched on: `micropython -X heapsize=H start.py FLASH_FILE`.

FLASH_FILE is the whole flash, programmed as a real one: partition table at 0x8000, an image,
`vfs` with a LittleFS. What boot.py finds are the modules of an ESP32 (machine, network, esp32) on
that file; the interpreter, LittleFS, TLS and asyncio are real, sockets and clock the host's.
stdin and stdout are UART0.

Environment:
    KS_CHIP_CAUSE    of the reset: 1 power on (the default), 2 machine.reset, 3 watchdog
    KS_CHIP_MAC      12 hex digits
    KS_CHIP_CONTROL  port on 127.0.0.1 of whoever holds the chip. It sends lines: what is so at the
                     start (`pin 4 0`, `wifi SSID PASSWORD RSSI`, `cut after N`), then `go`, then
                     more at any time; and gets lines of events. See chip, machine, network.
Ends with the status 75 for a reset, 77 when the power was cut at an operation of the flash (`cut
after N`; every end by a reset tells `operations K`), 78 when there is nothing to start, by SIGALRM
when the watchdog bites. FLASH_FILE.rtc keeps the memory of the RTC up to the next power on.
"""

import builtins
import gc
import os
import sys

HERE = __file__.rpartition("/")[0] or "."
if not HERE.startswith("/"):
    HERE = os.getcwd() + "/" + HERE
NO_SYSTEM = 78
DEFAULT_MAC = "240ac4000001"


def power_on(flash_path):
    """Make the CHIP, hide the host's files behind its `vfs`, which is mounted."""
    import binascii

    import vfs
    from chip import Chip

    if not flash_path.startswith("/"):
        flash_path = os.getcwd() + "/" + flash_path
    control = int(os.getenv("KS_CHIP_CONTROL") or 0)
    chip = builtins.CHIP = Chip(flash_path, int(os.getenv("KS_CHIP_CAUSE") or 1), control)
    chip.mac = binascii.unhexlify(os.getenv("KS_CHIP_MAC") or DEFAULT_MAC)
    host = vfs.VfsPosix("/")
    vfs.umount("/")
    vfs.mount(host, "/.host")
    sys.path[:] = ["", ".frozen", "/lib", "/.host" + HERE]
    sys.argv.clear()
    start_system(chip, vfs)


def start_system(chip, vfs):
    """The bootloader, and the stock image's frozen _boot.py and inisetup.py."""
    import otaboot

    try:
        chip.running = otaboot.power_on(chip, "/.host" + HERE + "/../../../firmware")
    except (OSError, IndexError):
        print("invalid header: 0xffffffff")
        chip.end(NO_SYSTEM)
    chip.booting = lambda: otaboot.booting(chip)
    from chip_esp32 import Partition

    found = Partition.find(Partition.TYPE_DATA, label="vfs")
    if not found:
        print("no partition vfs")
        chip.end(NO_SYSTEM)
    try:
        vfs.mount(found[0], "/")
    except OSError:
        first = bytearray(4096)
        found[0].readblocks(0, first)
        if first != b"\xff" * len(first):
            print("The filesystem appears to be corrupted. If you had important data there, you")
            print("may want to make a flash snapshot to try to recover it.")
            chip.end(NO_SYSTEM)  # where a chip says so for ever
        print("Performing initial setup")
        vfs.VfsLfs2.mkfs(found[0])
        vfs.mount(found[0], "/")
    os.chdir("/")


def join_line():
    """While asyncio runs, what comes over the line of control plays the interrupts."""
    import asyncio

    chip, run = CHIP, asyncio.run

    def waited(socket):
        yield asyncio.core._io_queue.queue_read(socket)

    async def listen():
        while chip.stream() is not None:
            await waited(chip.stream())
            chip.poll()

    def run_both(life):
        if chip.stream() is not None:
            chip.listening = asyncio.create_task(listen())
        return run(life)

    asyncio.run = run_both


def run_file(name):
    """As the port runs boot.py and main.py; whether the prompt is next."""
    try:
        with open(name) as file:
            source = file.read()
    except OSError:
        return False
    try:
        exec(compile(source, name, "exec"), {"__name__": "__main__"})
    except (Exception, KeyboardInterrupt) as error:
        sys.print_exception(error)
        return True
    except SystemExit:
        CHIP.end(75)
    return False


def main():
    power_on(sys.argv[1])
    join_line()
    import console

    console.raw_line(True)
    sys.modules["micropython"] = console.MicroPython()
    import esp32  # noqa: F401 -- what a chip has in its ROM: `heap` is without it
    import machine  # noqa: F401
    import network  # noqa: F401

    for name in ("chip", "otaboot", "start"):
        sys.modules.pop(name, None)
    gc.collect()
    CHIP.event("boot %d heap %d" % (CHIP.cause, gc.mem_free()))
    if not run_file("boot.py"):
        run_file("main.py")
    console.prompt()


main()
