#!/bin/sh
# Make a terminal of one board: erase, write, verify, provision.
#
#   ./flash.sh PORT [BOARD] [OPTION…]      as in: ./flash.sh /dev/ttyUSB0 esp32_generic --help
#
# Makes .venv with what that takes, and leaves the rest to `ks factory flash`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -eq 0 ]; then
    echo "usage: ./flash.sh PORT [BOARD] [OPTION…], as in: ./flash.sh /dev/ttyUSB0" >&2
    echo "Every option: ./flash.sh --help" >&2
    exit 2
fi
"$here/tools/environment.sh" factory
exec "$here/.venv/bin/ks" factory flash "$@"
