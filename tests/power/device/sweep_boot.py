"""One start of a terminal by the real boot.py, over the real stage 0 and volumes.

Runs on CPython and MicroPython. Made up are what a chip has (`esp32`, `vfs`, `machine`), `sys`, and
the `main` that boot.py imports: it only begins. For boot.py that is a dormant terminal, which stays
where it is; what an application does from there on, Terminal does step by step, up to `ended`.
"""

import builtins
import io

import stage0

from ks_board import volumes

PAUSE_MAX_MS = volumes.NOTHING_PAUSE_MS - 1


class Parked(BaseException):
    """It would stay here for good."""


class Reset(BaseException):
    """What machine.reset does."""


class Module:
    """What is imported under a name, for boot.py."""

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


class Forgotten:
    """Of what boot.py lets go of, it takes the contents."""

    def __init__(self):
        self.__dict__ = {}


class Lfs2:
    """`vfs.VfsLfs2` for the one partition that boot.py mounts."""

    def __init__(self, hardware):
        self._hardware = hardware

    def __call__(self, device, mtime):
        assert device is self._hardware.partition and not mtime
        self._hardware.attach_data()

    def mkfs(self, device):
        assert device is self._hardware.partition
        self._hardware.make_data()


def compiled():
    folder = stage0.__file__.rpartition("/")[0]
    with open(folder + "/boot.py") as file:
        return compile(file.read(), "boot.py", "exec")


CODE = compiled()


class Boot:
    """`hardware`: see Terminal. `begin(folder, slot, version)` is what main.py in the folder does,
    as far as it goes at once: it may raise. `clock.ticks` goes on in pauses.
    """

    def __init__(self, hardware, begin, clock):
        self._hardware = hardware
        self._begin = begin
        self._clock = clock
        self._slot = None
        self._is_begun = False
        self.said = io.StringIO()
        self._sys = Module(
            argv=[],
            path=[""],
            modules={"stage0": Forgotten()},
            stderr=self.said,
            print_exception=lambda error: None,
        )
        partition = Module(TYPE_DATA=1, find=self._find)
        self._modules = {
            "sys": self._sys,
            "volumes": volumes,
            "main": None,
            "esp32": Module(Partition=partition),
            "vfs": Module(VfsLfs2=Lfs2(hardware), mount=self._mount),
            "machine": Module(reset=self._reset),
            "micropython": Module(kbd_intr=lambda byte: None),
        }

    def run(self):
        """Whether there is something that lives now. False: it crashed, and is to be started anew.

        Raises what boot.py raises, where the chip would stay at the prompt.
        """
        return self._do(lambda: exec(CODE, {"__name__": "boot"}))

    def ended(self, outcome):
        """What lived has come to its end: boot.py's last line."""
        self._is_begun = False
        if self._do(lambda: self._leave(stage0.status(self._slot, outcome))):
            raise AssertionError("no reset")

    def _leave(self, status):
        volumes.leaving(self._reset, self._sleep)(status)

    def _do(self, deed):
        given = builtins.__import__
        kept = stage0.os, stage0.sys, stage0.Disk, volumes.time

        def find(name, *others):
            if name == "main":
                return self._import_main()
            return self._modules.get(name) or given(name, *others)

        builtins.__import__ = find
        stage0.os, stage0.sys = Module(chdir=lambda path: None), self._sys
        stage0.Disk, volumes.time = lambda: self._hardware.fs, Module(sleep_ms=self._sleep)
        try:
            deed()
        except Parked:
            return True
        except Reset:
            return False
        finally:
            builtins.__import__ = given
            stage0.os, stage0.sys, stage0.Disk, volumes.time = kept
        raise AssertionError("boot.py came to its end")

    def _import_main(self):
        """The first one in the module path."""
        folder = self._sys.path[0]
        try:
            self._hardware.fs.stat(folder + "/main.py")
        except OSError:
            raise ImportError("no main in " + folder)
        return Module(main=self._main)

    def _main(self, root, slot, version):
        self._slot = slot
        self._begin(self._sys.path[0], slot, version)
        self._is_begun = True

    def _find(self, kind, label):
        return [self._hardware.partition] if (kind, label) == (1, volumes.LABEL) else []

    def _mount(self, _, path):
        assert path == volumes.PATH

    def _sleep(self, ms):
        if ms > PAUSE_MAX_MS:
            if not self._is_begun:
                raise AssertionError("nothing can be started: " + self.said.getvalue())
            raise Parked()
        self._clock.ticks += ms

    def _reset(self):
        raise Reset()
