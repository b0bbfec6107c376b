"""Get MicroPython interpreters for the host: `python -m tools.micropython [amd64] [i386]`.

They end up as `.tools/micropython-{amd64,i386}/bin/micropython`:

* `amd64` is the machine's own 64-bit interpreter. The system's `micropython` is used when it is
  new enough; otherwise the package of Debian's stable suite is unpacked beside its libraries.
* `i386` is the same package for 32 bit. It has the 31-bit small integers and half-size objects of
  the terminal's chip, and runs on x86 machines only.

Packages come through apt into a private folder, with Debian's signature checked, without root and
without touching the system. What cannot be had is said in one line, and the exit status stays 0:
the rest of the build goes on without it. With `--require` it is 1.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("amd64", "i386")
OLDEST = (1, 24)  # the first release whose asyncio, tls and vfs the terminal's core is tested with
SUITE = "trixie"
DEFAULT_MIRROR = "http://deb.debian.org/debian/"
KEYRINGS = (
    "usr/share/keyrings/debian-archive-keyring.gpg",
    "usr/share/keyrings/debian-archive-keyring.pgp",
)
X86 = ("x86_64", "AMD64", "i686", "i586", "i386")
APT_LIMIT_S = 180

# Runs the program by its own loader and libraries, wherever the folder lies.
LAUNCHER = """\
#!/bin/sh
lib=$(dirname "$(readlink -f "$0")")/../lib
exec "$lib/ld.so" --library-path "$lib" --argv0 "$0" "$lib/micropython.bin" "$@"
"""


class Unavailable(Exception):
    """The interpreter cannot be had here; the text says why and what would get it."""


def interpreter(architecture: str) -> Path:
    """Where the interpreter for `amd64` or `i386` stands, whether it is there or not."""
    return ROOT / ".tools" / f"micropython-{architecture}" / "bin" / "micropython"


def version(program: Path | str) -> tuple[int, ...] | None:
    """The version of a MicroPython program as (major, minor, micro); None when it does not run."""
    code = "import sys; print(*sys.implementation[1][:3])"
    try:
        done = subprocess.run(
            [str(program), "-c", code], capture_output=True, text=True, timeout=30, check=True
        )
        return tuple(int(part) for part in done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def works(program: Path | str) -> bool:
    """Whether the program is a MicroPython that is new enough."""
    found = version(program)
    return found is not None and found >= OLDEST


def provide(architecture: str) -> None:
    """Make `interpreter(architecture)` work; raises Unavailable."""
    program = interpreter(architecture)
    if works(program):
        return
    system = shutil.which("micropython")
    if architecture == "amd64" and system and works(system):
        shutil.rmtree(program.parents[1], ignore_errors=True)
        program.parent.mkdir(parents=True)
        program.symlink_to(system)
        return
    unpack(package_architecture(architecture), program.parents[1])
    if not works(program):
        shutil.rmtree(program.parents[1], ignore_errors=True)
        raise Unavailable("the unpacked interpreter does not run on this machine")


def package_architecture(architecture: str) -> str:
    """Debian's name for what this machine needs; raises Unavailable when it cannot run it."""
    machine = platform.machine()
    if platform.system() != "Linux":
        raise Unavailable("install MicroPython 1.24 or newer (macOS: brew install micropython)")
    if machine in X86:
        return architecture
    if architecture == "i386":
        raise Unavailable(f"a {machine} machine does not run 32-bit x86 programs")
    return {"aarch64": "arm64"}.get(machine, machine)


def unpack(architecture: str, destination: Path) -> None:
    """Download the package with its libraries and lay it out in `destination`."""
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise Unavailable(f"{program} is missing; install MicroPython 1.24 or newer yourself")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        keyring = debian_keyring(folder)
        problem = ""
        for mirror in mirrors():
            try:
                packages = download(architecture, mirror, keyring, folder / "apt")
                break
            except subprocess.SubprocessError as error:
                problem = last_line(error)
        else:
            raise Unavailable(f"apt got no package from Debian {SUITE}: {problem}")
        system = folder / "system"
        for package in packages:
            subprocess.run(["dpkg-deb", "-x", package, system], check=True, timeout=APT_LIMIT_S)
        lay_out(system, packages, destination)


def lay_out(system: Path, packages: Sequence[Path], destination: Path) -> None:
    """Copy program, loader and libraries from the unpacked packages."""
    shutil.rmtree(destination, ignore_errors=True)
    library = destination / "lib"
    library.mkdir(parents=True)
    shutil.copy(system / "usr/bin/micropython", library / "micropython.bin")
    for source in sorted(system.glob("usr/lib/*-linux-gnu*/*.so.*")):
        shutil.copy(source, library / source.name)
    loader = next(iter(sorted(system.glob("usr/lib*/**/ld-linux*.so.*"))))
    shutil.copy(loader, library / "ld.so")
    (destination / "packages.txt").write_text("".join(f"{path.name}\n" for path in packages))
    launcher = destination / "bin" / "micropython"
    launcher.parent.mkdir()
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


def download(architecture: str, mirror: str, keyring: Path, folder: Path) -> list[Path]:
    """Have apt fetch micropython and all it depends on into `folder`, by the suite's signature."""
    source = f"deb [arch={architecture} signed-by={keyring}] {mirror} {SUITE} main\n"
    options = apt_options(folder, architecture, source)
    apt(options, "update")
    apt(options, "install", "--download-only", "--no-install-recommends", "--yes", "micropython")
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def apt_options(folder: Path, architecture: str, source: str) -> list[str]:
    """Options that keep apt to `folder` and to one source line."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    (folder / "status").touch()
    (folder / "source.list").write_text(source)
    settings = {
        "Dir::Etc::SourceList": folder / "source.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": folder,
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",  # the folder is ours: apt need not, and cannot, become _apt
        "Debug::NoLocking": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 20,
        "Acquire::https::Timeout": 20,
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def apt(options: Sequence[str], *command: str) -> str:
    """Run apt-get without any question; raises CalledProcessError with its messages."""
    done = subprocess.run(
        ["apt-get", "-q", *options, *command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=APT_LIMIT_S,
        check=True,
    )
    # A source that cannot be reached or whose signature fails is a mere warning to `update`.
    for line in done.stderr.splitlines():
        if line.startswith(("W: Failed", "W: GPG", "W: The repository", "W: An error")):
            raise subprocess.CalledProcessError(100, "apt-get", stderr=line)
    return done.stdout


def mirrors() -> Iterator[str]:
    """Debian mirrors to try: the machine's own, as apt reads them, then Debian's own."""
    known = {DEFAULT_MIRROR: None}
    try:
        listed = apt([], "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    except (OSError, subprocess.SubprocessError):
        listed = ""
    own = (line for line in listed.splitlines() if line.rstrip("/").endswith("/debian"))
    return iter(dict.fromkeys(own) | known)


def debian_keyring(scratch: Path) -> Path:
    """Debian's keys: installed, or from the machine's own archive (Ubuntu carries them)."""
    for name in KEYRINGS:
        if (installed := Path("/", name)).exists():
            return installed
    folder = scratch / "keyring"
    try:
        subprocess.run(
            ["apt-get", "-q", "download", "debian-archive-keyring"],
            cwd=scratch,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=APT_LIMIT_S,
            check=True,
        )
        package = next(scratch.glob("debian-archive-keyring_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True, timeout=APT_LIMIT_S)
        return next(folder / name for name in KEYRINGS if (folder / name).exists())
    except (OSError, StopIteration, subprocess.SubprocessError):
        raise Unavailable(
            "Debian's keys are missing; get them with: "
            "sudo apt-get update && sudo apt-get install debian-archive-keyring"
        ) from None


def last_line(error: subprocess.SubprocessError) -> str:
    """What a failed program said last, for a message of one line."""
    said = getattr(error, "stderr", None) or str(error)
    return str(said).strip().splitlines()[-1]


def main(arguments: Sequence[str]) -> int:
    """Provide the architectures named (all when none is); returns the exit status."""
    wanted = [name for name in ARCHITECTURES if name in arguments] or ARCHITECTURES
    missing = 0
    for architecture in wanted:
        try:
            provide(architecture)
        except Unavailable as reason:
            missing += 1
            print(f"micropython: {architecture} is left out: {reason}", file=sys.stderr)
    return 1 if missing and "--require" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
