# The map of the repository: `make` alone lists what there is.
#
# Each target makes what it needs first: .venv from the lock files, MicroPython in .tools.
# Nothing needs root. PYTHON names another interpreter, as in: make test PYTHON=python3.12

PYTHON ?=
export PYTHON
RUN := .venv/bin/python
NPM_FOLDER := .cache/npm
NPM_PACKAGES := @toon-format/toon@4.4.0 @toon-format/spec@3.3.2
NPM_STAMP := $(NPM_FOLDER)/.fetched-4.4.0-3.3.2

.DEFAULT_GOAL := help
.PHONY: help demo test sweep lint bench docs mpy env env-run micropython oracles typings lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: env-run micropython ## watch terminals live against a real server, under a minute
	@.venv/bin/ks demo

# Many processes load the same modules: without kept bytecode each would compile them anew.
test: env micropython oracles ## all tests: CPython, MicroPython 64 and 32 bit, end to end
	@env -u PYTHONDONTWRITEBYTECODE \
	    $(RUN) -m pytest --numprocesses auto --dist worksteal $(ARGUMENTS)

sweep: env-run ## cut the power at every operation of every phase, on every board; 10 to 20 minutes
	@$(RUN) -m tests.sweep --readme README.md $(ARGUMENTS)

lint: env typings ## ruff, mypy (strict for host code, device code against the ESP32's stubs)
	@status=0; \
	$(RUN) -m ruff check . || status=1; \
	$(RUN) -m mypy || status=1; \
	$(RUN) -m mypy --config-file tools/device-mypy.ini || status=1; \
	exit $$status

bench: env micropython ## measure, write benchmarks/latest.json and the figures in the documents
	@$(RUN) -m benchmarks --readme README.md --crypto docs/crypto.md

docs: env ## write the generated parts of docs/ anew
	@$(RUN) -m tools.gen_docs

mpy: env-run ## build/mpy: ks_crypto with native code for each chip, to be installed with mip
	@$(RUN) -m ks_viper $(ARGUMENTS)

env: ## make .venv with everything for development
	@tools/environment.sh dev

env-run: ## make .venv with what running needs, no more
	@tools/environment.sh run

micropython: env-run ## get MicroPython interpreters into .tools
	@$(RUN) -m tools.micropython

# What npm fetches serves the tests as a second opinion on TOON; without it they are skipped.
oracles: $(NPM_STAMP) ## get TOON's reference and fixtures, if npm is here
$(NPM_STAMP):
	@mkdir -p $(NPM_FOLDER)
	@if ! command -v npm >/dev/null 2>&1; then \
	    echo "oracles: npm is missing, so tests against TOON's own code are left out" >&2; \
	elif npm install --prefix $(NPM_FOLDER) --cache $(NPM_FOLDER)/cache --silent --no-save \
	    --no-audit --no-fund --ignore-scripts $(NPM_PACKAGES) </dev/null >/dev/null; then \
	    touch $@; \
	else \
	    echo "oracles: npm could not fetch $(NPM_PACKAGES); tests against them are left out" >&2; \
	fi

typings: typings/.installed
typings/.installed: requirements/typings.txt | env
	@rm -rf typings
	@$(RUN) -m pip --disable-pip-version-check --no-input --quiet install --require-hashes \
	    --target typings --requirement requirements/typings.txt
	@touch $@

lock: env ## write the lock files; UPGRADE=--upgrade takes the newest versions
	@tools/lock.sh $(UPGRADE)

clean: ## remove what was built and downloaded
	rm -rf .venv .tools .cache typings build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
