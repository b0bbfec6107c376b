"""One unit at one port: what its record says is left to do, step by step.

Each step is a function in `steps_flash`, `steps_serial` or `steps_office`. What is on the flash may
be less than what the record says, or more, after a power cut; `resume` finds out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from ..board_file import Board
from ..console import ToolError
from ..image_folder import ImageFolder
from . import links
from .batch import Batch
from .errors import FactoryError, Interrupted, Refused, StationFailed, UnitFailed
from .esptool import Chip, Esptool
from .links import told_as_the_factorys
from .office import Office
from .people import People
from .steps import BY_NAME, REJECT, left, number
from .store import Desk, Store, Unit, is_done
from .unit_log import UnitLog

# From the reset to the first word: it formats its data at the first start.
BOOT_S: Final = 45.0


class Verdict(Enum):
    """How a run has ended."""

    PASS = "PASS"  # noqa: S105 -- no password
    FAIL = "FAIL"
    WAIT = "WAIT"  # the unit or the station has to be seen to, then it goes on
    ALREADY = "DONE"


class View:
    """Told of everything that happens; this one shows nothing."""

    def step(self, port: str, unit: Unit | None, name: str) -> None: ...

    def progress(self, port: str, percent: int) -> None: ...

    def show(self, port: str, text: str) -> None: ...

    def verdict(self, port: str, unit: Unit | None, verdict: Verdict, text: str) -> None: ...

    def notice(self, text: str) -> None:
        """Of the station as a whole."""

    def question(self, port: str, text: str) -> None: ...


@dataclass
class Line:
    """What all runs of a batch share."""

    batch: Batch
    board: Board
    image: ImageFolder
    store: Store
    office: Office
    people: People
    view: View = field(default_factory=View)
    stop: threading.Event = field(default_factory=threading.Event)
    make_flasher: Callable[..., Any] = Esptool
    open_link: links.Open = links.open_link
    may_erase_identity: bool = False
    save_journal: Callable[[str], bool] = lambda held: True
    after_step: Callable[[str], None] = lambda name: None

    @property
    def folder(self) -> Path:
        return self.batch.folder


class UnitRun:
    """One unit, from its detection until it passes, fails, or something has to be seen to."""

    def __init__(self, line: Line, port: str) -> None:
        self.line = line
        self.batch, self.store = line.batch, line.store
        self.port = port
        self.desk = Desk(self.batch.station, self.batch.operator, port)
        self.flasher = line.make_flasher(
            port,
            self.batch.bauds,
            self._say,
            lambda percent: line.view.progress(port, percent),
            line.stop,
        )
        self.chip: Chip | None = None
        self._unit: Unit | None = None
        self._link: Any = None
        self._log: UnitLog | None = None
        self._said: list[str] = []
        # Whether this run has looked at what its flash holds.
        self.is_identified = False
        # What is recorded of the step under way, also if it fails.
        self.detail: dict[str, Any] = {}

    @property
    def unit(self) -> Unit:
        assert self._unit is not None
        return self._unit

    @unit.setter
    def unit(self, unit: Unit) -> None:
        self._unit = unit

    @property
    def log(self) -> UnitLog:
        assert self._log is not None
        return self._log

    def run(self) -> Verdict:
        """Raises nothing but what is a mistake in this program."""
        try:
            verdict, text = self._work(), ""
        except UnitFailed as error:
            verdict, text = Verdict.FAIL, str(error)
            if self._unit is not None:
                self.unit = self.store.fail(self.unit, text)
        except (FactoryError, ToolError) as error:
            verdict, text = Verdict.WAIT, str(error)
        finally:
            self.close_link()
        if verdict is Verdict.ALREADY:
            text = "it is done already"
        if self._log is not None:
            self._log.add(f"{verdict.value} {text}".rstrip())
        self.line.view.verdict(self.port, self._unit, verdict, text)
        return verdict

    def _work(self) -> Verdict:
        self._detect()
        if is_done(self.unit):
            return Verdict.ALREADY
        if self.unit.state == REJECT:
            raise StationFailed(
                f"a reject: {self.unit.reason}; once repaired: ks factory rework {self.unit.name}"
            )
        if number(self.unit.step) >= number("booted"):
            self.line.view.step(self.port, self.unit, "booted")
            from .resume import resume

            resume(self)
        for name in left(self.unit.step):
            self._perform(name)
        return Verdict.PASS

    def _detect(self) -> None:
        """Which unit it is. A new one is recorded."""
        self.line.view.step(self.port, None, "detected")
        self.chip = chip = self.flasher.detect()
        self.line.image.check_unit(chip.chip, chip.mac)
        self.open_log(chip.mac)
        self.unit = self.store.claim(chip.mac, chip.chip, self.batch.board, self.desk)
        self.log.hide(self.unit.setup_password)
        self.log.add(f"at {self.port}, station {self.desk.station}: {self.unit.name}")

    def _perform(self, name: str) -> None:
        if self.line.stop.is_set():
            raise Interrupted("interrupted")
        from .handlers import HANDLERS

        self.line.view.step(self.port, self.unit, name)
        self.log.add(f"{name}: {BY_NAME[name].does}")
        self.flasher.retries = 0
        with self.store.attempt(self.unit, name, self.desk) as detail:
            self.detail = detail
            with told_as_the_factorys():
                detail.update(HANDLERS[name](self))
            if self.flasher.retries:
                detail["retries"] = self.flasher.retries
        found = self.store.unit(self.unit.mac, self.unit.chip)
        assert found is not None
        self.unit = found
        self.line.after_step(name)

    def open_log(self, mac: str) -> None:
        """From now on, what is said goes there; also what was said before."""
        self._log = UnitLog(self.line.folder / "logs", mac)
        self._log.hide(self.batch.wifi_password())
        for line in self._said:
            self._log.add(line)
        self._said.clear()

    # -- what the steps use ----------------------------------------------------------------------

    def link(self) -> Any:
        """The conversation with its firmware; opened when it is first needed."""
        if self._link is None:
            with told_as_the_factorys():
                self._link = self.line.open_link(self.port, self._console)
        return self._link

    def close_link(self) -> None:
        """Before esptool, and at the end."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def hello(self, wait_s: float = BOOT_S) -> Any:
        """What the firmware tells of itself. Raises Interrupted while it is silent."""
        with told_as_the_factorys():
            told = self.link().hello(wait_s)
        mac = ":".join(told.mac[start : start + 2] for start in range(0, 12, 2))
        if mac != self.unit.mac:
            raise Refused(f"another board is at {self.port} now: {mac}, and not {self.unit.mac}")
        return told

    def go_back(self, step: str, reason: str, **values: Any) -> None:
        """The flash holds less than the record says."""
        self.log.add(f"on from {step or 'the beginning'}: {reason}")
        self.unit = self.store.go_back(self.unit, step, **values)

    def _say(self, text: str) -> None:
        self._log.add(text) if self._log is not None else self._said.append(text)

    def _console(self, text: str) -> None:
        self.log.add(f"< {text}")
