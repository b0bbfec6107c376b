"""`python -m ks_viper`: make packages of `ks_crypto` that mip installs, one folder a variant."""

import argparse
import sys
from pathlib import Path

from . import base, build, native, package

OUTPUT = Path("build", "mpy")
ROW = "{:<10} {:<14} {:>9,} {:>9,} {:>9,}"
TITLES = "{:<10} {:<14} {:>9} {:>9} {:>9}".format(
    "variant", "part", "bytes", "native", "largest"
)  # fmt: skip


def main(arguments=None):
    """Exit status: 0, or 1 when something does not compile; what it was is on standard error."""
    chosen = _parse(arguments)
    try:
        build.check_compiler()
        made = {name: package.files(name, chosen.tables) for name in chosen.architecture}
    except build.CompileError as error:
        print(f"ks_viper: {error}", file=sys.stderr)
        return 1
    print(TITLES)
    for variant, files in made.items():
        address = f"{chosen.address.rstrip('/')}/{variant}/" if chosen.address else ""
        package.write(chosen.output / variant, files, address)
        for row in _rows(variant, files):
            print(ROW.format(*row))
    print(f"in {chosen.output}: native code and its largest function in bytes, too")
    return 0


def _parse(arguments):
    parser = argparse.ArgumentParser("ks_viper", description=__doc__)
    parser.add_argument(
        "--architecture",
        action="append",
        choices=package.VARIANTS,
        help="which to make, more than once for more (else: all)",
    )
    parser.add_argument(
        "--tables",
        type=int,
        choices=sorted(base.SIZES),
        default=build.TABLES,
        help="tables of the base point: more are faster, 3,840 bytes each (%(default)s)",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder (%(default)s)")
    parser.add_argument(
        "--address",
        default="",
        metavar="URL",
        help="where the output folder will be served, for a mip before MicroPython 1.25",
    )
    chosen = parser.parse_args(arguments)
    chosen.architecture = chosen.architecture or package.VARIANTS
    return chosen


def _rows(variant, files):
    """(variant, part, bytes, bytes of native code, of its largest function), all of it last."""
    parts = [f"{package.NAME}/{part}.mpy" for part in build.PARTS]
    found = {path: native.sizes(files[path]) for path in parts if path in files}
    for path, sizes in found.items():
        yield variant, Path(path).stem, len(files[path]), sizes.total, sizes.largest
    whole = sum(found.values(), native.Sizes(()))
    yield variant, "whole package", sum(map(len, files.values())), whole.total, whole.largest


if __name__ == "__main__":
    sys.exit(main())
