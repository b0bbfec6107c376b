#!/bin/sh
# Make the virtual environment .venv and bring it up to a lock: tools/environment.sh run|factory|dev
#
# Needs no root. A stamp holds what was installed, so that a repeated run costs milliseconds.
# What the machine lacks is named in one line, with the command that gets it.
set -eu
cd "$(dirname "$0")/.."

level=${1:?usage: tools/environment.sh run|factory|dev}
case $level in
    run | factory | dev) ;;
    *) echo "environment: '$level' is none of run, factory, dev" >&2 && exit 2 ;;
esac
venv=.venv

give_up() {
    echo "environment: $*" >&2
    exit 1
}

# What the environment depends on: its place, its interpreter, the lock, the package.
fingerprint() {
    { pwd; "$venv/bin/python" -V; cat "requirements/$1.txt" pyproject.toml; } | cksum
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}

# Debian and Ubuntu split ensurepip off; without it `python3 -m venv` leaves half an environment.
require_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    give_up "Python's venv is missing; get it with: sudo apt-get install python$version-venv"
}

make_venv() {
    python=$(find_python)
    [ -n "$python" ] || give_up "Python 3.11 or newer is needed;" \
        "on Debian 12 or Ubuntu 24.04: sudo apt-get install python3 python3-venv;" \
        "or name one that you have: make PYTHON=/path/to/python3.11"
    require_venv "$python"
    echo "environment: making $venv with $("$python" -V)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
}

# Whether PYTHON asks for another version than the environment has.
is_another() {
    [ -n "${PYTHON:-}" ] && [ "$("$PYTHON" -V)" != "$("$venv/bin/python" -V)" ]
}

# A venv is bound to its folder: one that was moved or whose Python went away is made again.
venv_works() {
    is_new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1 &&
        [ "$("$venv/bin/python" -c 'import sys; print(sys.prefix)')" = "$(pwd -P)/$venv" ]
}

quiet_pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input --quiet --quiet "$@"
}

stamp=$venv/.installed-$level
if [ -f "$stamp" ] && ! is_another && [ "$(cat "$stamp")" = "$(fingerprint "$level")" ]; then
    exit 0
fi
{ venv_works && ! is_another; } || make_venv
echo "environment: installing requirements/$level.txt, which takes a minute"
rm -f "$venv"/.installed-*
quiet_pip install --require-hashes --requirement "requirements/$level.txt"
quiet_pip install --no-deps --no-build-isolation --editable .
# The factory lock holds everything of the run lock in the same versions, the dev lock both.
for done in run factory dev; do
    fingerprint "$done" >"$venv/.installed-$done"
    [ "$done" != "$level" ] || break
done
