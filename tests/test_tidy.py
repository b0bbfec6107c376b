"""Style that a machine can keep: sizes, directions of dependencies, what the device cannot run.

Looks at the files under version control. A rule's exceptions stand beside it, each with its
reason, and an exception that is no longer needed fails as well.
"""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tools.micropython import ROOT

LINE_COLUMNS = 100
FUNCTION_LINES = 70
MODULE_LINES = 350
BLOB_BYTES = 512 * 1024

TEXT = (".py", ".sh", ".toml", ".ini", ".md", ".txt", ".in", ".example", ".yml", ".yaml")
PROSE = (".md", ".svg", ".txt", ".example")

# file -> why it may be longer
LONG_MODULES: dict[str, str] = {}

# Where functions may be longer, and why.
LONG_FUNCTIONS = {
    "simulator/ks_server/migrations/versions/": "a migration is one list of steps, never edited",
}

# package -> its folder, and the packages it may import besides itself
PACKAGES = {
    "ks_agent": ("firmware", set()),
    "ks_crypto": ("firmware", set()),
    "ks_driver": ("firmware", {"ks_agent", "ks_crypto"}),
    "ks_viper": ("firmware", {"ks_crypto"}),
    "ks_server": ("simulator", {"ks_agent", "ks_crypto"}),
    "ks_simulator": ("simulator", {"ks_agent", "ks_crypto", "ks_driver", "ks_server", "ks_viper"}),
    "ks_chip": ("simulator", {"ks_simulator"}),
    "ks_tools": (
        "host_tools",
        {"ks_agent", "ks_chip", "ks_crypto", "ks_driver", "ks_server", "ks_simulator"},
    ),
}

# What the core gets through its ports, or does without.
NOT_IN_THE_CORE = {
    "asyncio", "hashlib", "json", "machine", "nacl", "network", "os", "random", "socket", "ssl",
    "sys", "time", "tls",
}  # fmt: skip

# pattern -> (where, what to do instead)
BANNED = {
    r"\btime\.sleep\(": ("tests/", "wait for the event itself"),
    r"\butcnow\(": ("", "datetime.now(UTC), which knows its zone"),
    r"\b(TODO|FIXME|XXX)\b": ("", "do it, or leave it out"),
    r"^\s*assert True\b": ("tests/", "a test that can fail"),
    r"^\s*print\(": ("simulator/ks_server/", "the structured log"),
    r"^\s*(import|from) u?json\b": ("firmware/", "ks_agent.toon: the device has one text format"),
}

# Started by something other than an import.
ENTRY_POINTS = (
    "firmware/boot.py",
    "firmware/main.py",
    "firmware/host_main.py",
    "firmware/recovery_esp32.py",
    "firmware/recovery_main.py",
    "firmware/frozen/_boot.py",
    "firmware/ks_board/volumes.py",
    "firmware/stage0.py",
    "boards/",
    "host_tools/ks_tools/cli.py",
    "simulator/ks_chip/device/",
    "simulator/ks_server/migrations/",
    "simulator/ks_simulator/cpython.py",
    "tools/",
    "benchmarks/",
    "tests/",
)

# Nothing of the machine that a file was written on. Spelled so that this file does not match.
MACHINE = re.compile(
    r"(?<![\w.])/(work|root|opt|home/\w+|Users/\w+)/|/tmp/[k]s\b"
    r"|--(find-links|extra-index-url|index-url|trusted-host)[ =]|[f]ile:///\w"
    r"|[s]napshot\.debian\.org/archive|\bissues? #\d",
    re.IGNORECASE,
)

LOCK_LINE = re.compile(
    r"\s*(#.*)?"
    r"|[a-z0-9-]+(\[[a-z,]+\])?==\S+( ; .+)? \\"
    r"|    --hash=sha256:[0-9a-f]{64}( \\)?"
)


def tracked() -> list[Path]:
    """The files under version control that are there, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [Path(name) for name in listed.stdout.split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


FILES = tracked()
MODULES = [path for path in FILES if path.suffix == ".py"]
SCRIPTS = [path for path in FILES if path.suffix == ".sh" or path.as_posix() == ".ci/run"]
# Generates code for the device, on a computer.
HOST_CODE = "firmware/ks_viper/"
DEVICE = [
    path
    for path in MODULES
    if path.parts[0] == "firmware" and not path.as_posix().startswith(HOST_CODE)
]


@cache
def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(read(path), str(path))


def is_text(path: Path) -> bool:
    return path.suffix in TEXT or path.name in ("Makefile", "run", ".gitignore", "LICENSE")


def module_name(path: Path) -> str:
    """The dotted name under which a file is imported: firmware/ks_agent/toon.py is ks_agent.toon"""
    parts = list(path.with_suffix("").parts)
    if parts[0] in ("firmware", "simulator", "host_tools"):
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The dotted names that a file imports, with their lines; `from a import b` gives a and a.b"""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield name, node.lineno
            yield from ((f"{name}.{alias.name}", node.lineno) for alias in node.names)


def package_of(path: Path) -> str | None:
    return path.parts[1] if len(path.parts) > 2 and path.parts[1] in PACKAGES else None


def test_lines_fit_into_a_hundred_columns() -> None:
    long = [
        f"{path}:{number}"
        for path in FILES
        if is_text(path) and path.suffix not in PROSE and path.name != "LICENSE"
        for number, line in enumerate(read(path).splitlines(), 1)
        if len(line) > LINE_COLUMNS
    ]
    assert long == []


def test_functions_stay_under_seventy_lines() -> None:
    long = []
    for path in MODULES:
        if path.as_posix().startswith(tuple(LONG_FUNCTIONS)):
            continue
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines >= FUNCTION_LINES:
                    long.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    assert long == []


def test_modules_stay_readable_or_say_why_they_are_longer() -> None:
    sizes = {path.as_posix(): len(read(path).splitlines()) for path in MODULES}
    long = {name: lines for name, lines in sizes.items() if lines > MODULE_LINES}
    assert {name: lines for name, lines in long.items() if name not in LONG_MODULES} == {}
    assert set(LONG_MODULES) - set(long) == set(), "an exception that is no longer needed"


def test_every_module_of_a_package_says_what_it_is() -> None:
    silent = [
        path.as_posix()
        for path in MODULES
        if package_of(path) and read(path).strip() and not ast.get_docstring(parse(path))
    ]
    assert silent == []


def test_the_core_imports_nothing_of_the_world_around_it() -> None:
    strays = [
        f"{path}:{line} {name}"
        for path in MODULES
        if package_of(path) == "ks_agent"
        for name, line in imports(path)
        if name.split(".")[0] in NOT_IN_THE_CORE
    ]
    assert strays == []


def test_packages_depend_in_one_direction() -> None:
    wrong = []
    for path in MODULES:
        package = package_of(path)
        if package is None:
            continue
        allowed = PACKAGES[package][1] | {package}
        for name, line in imports(path):
            top = name.split(".")[0]
            if (top in PACKAGES or top in ("tests", "tools", "benchmarks")) and top not in allowed:
                wrong.append(f"{path}:{line} {package} imports {top}")
    assert wrong == []


def test_every_imported_library_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    optional = [line for name in ("factory", "postgres", "sentry", "load") for line in extras[name]]
    declared = {
        re.split(r"[\s\[<>=!~;]", line)[0].lower().replace("_", "-")
        for line in project["dependencies"] + optional
    }
    owners = importlib.metadata.packages_distributions()
    undeclared = []
    for path in MODULES:
        if path.parts[0] not in ("simulator", "host_tools"):
            continue
        for name, line in imports(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in PACKAGES or top not in owners:
                continue
            if not {owner.lower().replace("_", "-") for owner in owners[top]} & declared:
                undeclared.append(f"{path}:{line} {top}")
    assert undeclared == []


def device_misfits(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Syntax that MicroPython lacks or that costs the device memory for nothing."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Match | ast.TryStar):
            yield line, type(node).__name__
        elif isinstance(node, ast.AnnAssign):
            yield line, "annotation"
        elif isinstance(node, ast.Dict) and None in node.keys:
            yield line, "{**d}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            if arguments.posonlyargs:
                yield line, "positional-only /"
            every = [*arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            if node.returns or any(argument and argument.annotation for argument in every):
                yield line, "annotation"
        elif isinstance(node, ast.Attribute) and node.attr in ("removeprefix", "removesuffix"):
            yield line, node.attr


@pytest.mark.parametrize("path", DEVICE, ids=str)
def test_device_code_keeps_to_what_micropython_has(path: Path) -> None:
    absent = {"dataclasses", "enum", "typing", "pathlib", "contextlib", "functools", "logging"}
    misfits = list(device_misfits(parse(path)))
    misfits += [(line, name) for name, line in imports(path) if name.split(".")[0] in absent]
    assert misfits == []


def test_banned_patterns_stay_out() -> None:
    found = []
    for path in MODULES:
        if path.name == Path(__file__).name:
            continue
        for pattern, (where, instead) in BANNED.items():
            on_host = where == "firmware/" and path.as_posix().startswith(HOST_CODE)
            if path.as_posix().startswith(where) and not on_host:
                for number, line in enumerate(read(path).splitlines(), 1):
                    if re.search(pattern, line):
                        found.append(f"{path}:{number} {pattern}: {instead}")
    assert found == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    found = [
        f"{path}:{number} {match.group()}"
        for path in FILES
        if is_text(path) and path.as_posix() not in ("tests/test_tidy.py", "tools/lock.sh")
        for number, line in enumerate(read(path).splitlines(), 1)
        if (match := MACHINE.search(line))
    ]
    assert found == []


@pytest.mark.parametrize("lock", ["run", "factory", "dev", "typings"])
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: str) -> None:
    lines = read(Path(f"requirements/{lock}.txt")).splitlines()
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []
    assert any("==" in line for line in lines)


def test_what_runs_is_tested_in_the_same_versions() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", read(Path(f"requirements/{lock}.txt")), re.MULTILINE))

    assert pins("run") - pins("factory") == set()
    assert pins("factory") - pins("dev") == set()


def test_no_module_is_left_that_nothing_uses() -> None:
    used = {name for path in MODULES if path.parts[0] != "tests" for name, _ in imports(path)}
    dead = [
        path.as_posix()
        for path in MODULES
        if path.name not in ("__init__.py", "__main__.py")
        and not path.as_posix().startswith(ENTRY_POINTS)
        and module_name(path) not in used
    ]
    assert dead == []


def test_no_large_file_is_under_version_control() -> None:
    assert [str(path) for path in FILES if (ROOT / path).stat().st_size > BLOB_BYTES] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=str)
def test_a_shell_script_can_be_read_by_the_shell(path: Path) -> None:
    checked = subprocess.run(["sh", "-n", ROOT / path], capture_output=True, text=True, check=False)
    assert checked.stderr == ""
