#!/bin/sh
# Write the lock files: requirements/{run,factory,dev,typings}.txt, each version with its hashes.
# tools/lock.sh keeps the versions that are locked and fit; --upgrade takes the newest.
#
# Resolved on Python 3.11, the oldest that is supported: what only older Pythons need is then in
# the lock, and nothing is missing on newer ones. The machine's own pip configuration is left out,
# so that no package source of this machine gets into the files.
set -eu
cd "$(dirname "$0")/.."
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_CONSTRAINT PIP_REQUIREMENT
export PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND="make lock"

upgrade=${1:-}
compile() {
    # shellcheck disable=SC2086  # --upgrade or nothing
    .venv/bin/python -m piptools compile --quiet $upgrade --generate-hashes \
        --allow-unsafe --strip-extras --newline lf --no-emit-index-url --no-emit-find-links \
        --no-emit-trusted-host --no-emit-options "$@"
}

.venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "lock: needs Python 3.11: rm -rf .venv && make lock PYTHON=python3.11" >&2
    exit 1
}
compile --build-deps-for editable --output-file requirements/run.txt pyproject.toml
compile --constraint requirements/run.txt --build-deps-for editable \
    --extra factory --output-file requirements/factory.txt pyproject.toml
compile --constraint requirements/factory.txt --build-deps-for editable \
    --extra test --extra lint --extra factory --extra postgres --extra sentry \
    --output-file requirements/dev.txt pyproject.toml
compile --output-file requirements/typings.txt requirements/typings.in
