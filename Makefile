# fhir-bridge. `make run` starts the demo, `make test` runs every test and check. Both set .venv up by themselves.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check format lock bench soak openapi clean

run: $(VENV)/.run-ready
	@exec $(BIN)/fhir-bridge demo

test: check
	$(BIN)/pytest -n 2 --dist loadscope -m "not soak"

check: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: $(VENV)/.test-ready
	$(BIN)/python -m tests.contract.write_openapi

soak: $(VENV)/.test-ready
	HYPOTHESIS_PROFILE=search $(BIN)/pytest -m soak

bench: $(VENV)/.test-ready
	$(BIN)/fhir-bridge bench all

lock:
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml requirements-build.in -o requirements.lock
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml requirements-build.in --group dev -c requirements.lock -o requirements-dev.lock

# A half-made environment is never taken for a whole one: the stamp is written last.
$(VENV)/.run-ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fhir-bridge needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which to use: make PYTHON=python3.12 run")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python cannot make environments here. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test-ready: $(VENV)/.run-ready requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
