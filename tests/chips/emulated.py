"""Executes code for RISC-V (ESP32-C3) and for ARMv7-M with Unicorn, a library made of QEMU.

Memory is checked by the octet, as by `xtensa`: outside of the stack, whatever is read or written
must be in a region of the call, at a multiple of its size, and written only where that is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .runtime import REGION_BITS, RETURN, STACK, TRAPS, Call, Fault, Region, Trace

# Not by `import`: their annotations are incomplete.
unicorn: Any = import_module("unicorn")
arm_const: Any = import_module("unicorn.arm_const")
riscv_const: Any = import_module("unicorn.riscv_const")

STACK_BYTES = 1 << 16
PAGE = 1 << 12


@dataclass(frozen=True)
class Architecture:
    """How Unicorn knows an architecture, and its registers for arguments, stack and return."""

    machine: int
    mode: int
    processor: int
    arguments: tuple[int, ...]
    stack: int
    link: int
    counter: int
    thumb: int  # what is added to the address of code
    go_back: bytes  # the instruction that returns from a function


ARCHITECTURES = {
    "rv32imc": Architecture(
        unicorn.UC_ARCH_RISCV,
        unicorn.UC_MODE_RISCV32,
        riscv_const.UC_CPU_RISCV32_ANY,
        tuple(riscv_const.UC_RISCV_REG_A0 + number for number in range(4)),
        riscv_const.UC_RISCV_REG_SP,
        riscv_const.UC_RISCV_REG_RA,
        riscv_const.UC_RISCV_REG_PC,
        thumb=0,
        go_back=bytes.fromhex("8280"),
    ),
    "armv7emsp": Architecture(
        unicorn.UC_ARCH_ARM,
        unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS,
        arm_const.UC_CPU_ARM_CORTEX_M4,
        tuple(arm_const.UC_ARM_REG_R0 + number for number in range(4)),
        arm_const.UC_ARM_REG_SP,
        arm_const.UC_ARM_REG_LR,
        arm_const.UC_ARM_REG_PC,
        thumb=1,
        go_back=bytes.fromhex("7047"),
    ),
}


class Program:
    """One native function."""

    def __init__(self, code: bytes, architecture: str) -> None:
        self._code = code
        self._architecture = ARCHITECTURES[architecture]

    def run(self, call: Call) -> tuple[object, Trace]:
        """What the function returns, and what it did. Raises Fault."""
        run = _Run(self._architecture, call)
        run.start(call.code)
        for region in call.regions:
            if region.writable:
                run.read_back(region)
        return call.result(run.result), run.trace


class _Run:
    """One call. Exceptions in a hook are kept and raised afterwards: Unicorn would print them."""

    def __init__(self, architecture: Architecture, call: Call) -> None:
        self.trace = Trace()
        self._call = call
        self._architecture = architecture
        self._fault: Fault | None = None
        self._unicorn = unicorn.Uc(architecture.machine, architecture.mode)
        self._unicorn.ctl_set_cpu_model(architecture.processor)
        self._unicorn.mem_map(STACK - STACK_BYTES, STACK_BYTES)
        self._unicorn.mem_map(RETURN, PAGE)
        self._unicorn.mem_map(TRAPS, PAGE)
        self._unicorn.mem_write(TRAPS, architecture.go_back * (PAGE // 2))
        for region in call.regions:
            self._map(region)
        call.added = self._map
        hook = self._unicorn.hook_add
        hook(unicorn.UC_HOOK_BLOCK, self._block, begin=0, end=TRAPS - 1)
        hook(unicorn.UC_HOOK_CODE, self._trap, begin=TRAPS, end=TRAPS + PAGE - 1)
        memory = unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE
        hook(memory, self._access, begin=0, end=STACK - STACK_BYTES - 1)

    @property
    def result(self) -> int:
        return int(self._unicorn.reg_read(self._architecture.arguments[0]))

    def start(self, code: int) -> None:
        call, registers = self._call, self._architecture
        values = (call.function_object, call.count, 0, call.arguments)
        for register, value in zip(registers.arguments, values, strict=True):
            self._unicorn.reg_write(register, value)
        self._unicorn.reg_write(registers.stack, STACK)
        self._unicorn.reg_write(registers.link, RETURN | registers.thumb)
        try:
            self._unicorn.emu_start(code | registers.thumb, RETURN)
        except unicorn.UcError as error:
            at = self._unicorn.reg_read(registers.counter)
            raise self._fault or Fault(f"at {at:#x}: {error}") from error
        if self._fault:
            raise self._fault

    def read_back(self, region: Region) -> None:
        region.content[:] = self._unicorn.mem_read(region.address, len(region.content))

    def _map(self, region: Region) -> None:
        first = region.address & -PAGE
        end = (region.address + len(region.content) + PAGE) & -PAGE
        self._unicorn.mem_map(first, end - first)
        self._unicorn.mem_write(region.address, bytes(region.content))

    def _block(self, machine: Any, address: int, size: int, data: object) -> None:
        self.trace.path.append(address - self._call.code)

    def _trap(self, machine: Any, address: int, size: int, data: object) -> None:
        registers = self._architecture
        try:
            arguments = [machine.reg_read(register) for register in registers.arguments]
            machine.reg_write(registers.arguments[0], self._call.trap(address, arguments))
        except Fault as fault:
            self._stop(fault)

    def _access(
        self, machine: Any, kind: int, address: int, size: int, value: int, data: object
    ) -> None:
        self.trace.addresses.append(address)
        number = (address >> REGION_BITS) - 1
        if not 0 <= number < len(self._call.regions):
            self._stop(Fault(f"an access to {address:#x}"))
            return
        region = self._call.regions[number]
        offset = address - region.address
        if not 0 <= offset <= len(region.content) - size or address % size:
            self._stop(Fault(f"an access of {size} octets to {offset} of {len(region.content)}"))
        if kind == unicorn.UC_MEM_WRITE and not region.writable:
            self._stop(Fault("a write to what must not be written"))

    def _stop(self, fault: Fault) -> None:
        self._fault = self._fault or fault
        self._unicorn.emu_stop()
