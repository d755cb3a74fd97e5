# Everything a newcomer needs: `make plan` runs the main job, `make test` passes the tests.
# Set-up happens by itself, is kept in .venv, and is redone only when a lock file changes. Bytecode is written then, once:
# where Python may not write it later, every start would compile the libraries anew (ten seconds of a plan).

PYTHON ?= python3
BIN := .venv/bin
UV := .setup/bin/uv
SCENARIO ?= scenarios/alliance-10gw.yaml
OUT ?= plans/$(basename $(notdir $(SCENARIO)))

.PHONY: plan test quick lint docs bench lock clean setup setup-dev browser database postgres
.DELETE_ON_ERROR:

plan: .venv/.run
	$(BIN)/gigaforge plan $(SCENARIO) --out $(OUT)

test: lint quick
	$(BIN)/pytest -m slow -n 2 --dist loadgroup

quick: .venv/.dev browser database
	$(BIN)/pytest -m "not slow" -n 2

lint: .venv/.dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

docs: .venv/.dev
	$(UV) pip install --quiet --python $(BIN)/python --group docs
	$(BIN)/sphinx-build -W -b html docs build/docs

bench: .venv/.dev
	$(BIN)/python benchmarks/run.py

setup: .venv/.run
setup-dev: .venv/.dev

$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .setup "uv>=0.8"

.venv/.run: requirements/run.lock pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/run.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv/.dev: requirements/dev.lock .venv/.run
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@touch $@

# The page and the report are tested in a real browser: Debian's Chromium.
browser:
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null)

# The ledger is tested on PostgreSQL too: Debian's package, of which the tests start servers of their own.
database:
	@test -n "$$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null)" || command -v initdb >/dev/null || (apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >/dev/null)

postgres: .venv/.dev database
	$(BIN)/pytest tests/ledger -k "postgresql"

lock: | $(UV)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url pyproject.toml -o requirements/run.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --group dev -c requirements/run.lock pyproject.toml -o requirements/dev.lock

clean:
	rm -rf .venv .setup build plans
