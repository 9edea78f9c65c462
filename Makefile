# Everything a developer runs. Needs Python 3.11 or later, nothing else: the rest goes into .venv, by hash.
# For GNU make 3.81 (macOS) as well; only relative paths, so that the path of the checkout may hold spaces.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
# Of every platform, without the index they come from. $(ARGS) is for `make lock`.
LOCK = --quiet --universal --python-version 3.11 --generate-hashes --no-header $(ARGS)
DBT := examples/dbt
CREWAI := examples/crewai
CHROMIUM = $(BIN)/python tests/support/chromium.py
TEST_PAGE = $(BIN)/python -m pytest -n 3 -m "page and not soak" tests/page
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo example-dbt test test-page test-crewai screenshots check serve bench bench-page soak fuzz format lock docs clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-17s %s\n", $$1, $$2 }'

demo: .venv/.run ## run a small story on a throw-away ledger
	$(BIN)/python -m execution_ledger.api.demo

example-dbt: .venv/.run $(DBT)/.venv/.run ## run a real dbt that tells the service of it by OpenLineage
	$(BIN)/python $(DBT)/run.py

serve: .venv/.run ## serve HTTP
	$(BIN)/execution-ledger serve

test: .venv/.dev ## run the tests, on SQLite and a real PostgreSQL (ARGS= for pytest, without the page's)
	$(BIN)/python -m pytest -n 4 $(ARGS)
ifeq ($(strip $(ARGS)),)
	@if $(CHROMIUM) 2>/dev/null; then $(TEST_PAGE); else echo "The page was not tested: there is no Chromium (make test-page gets one)."; fi
endif

test-page: .venv/.dev ## test the page in a real Chromium, which is installed if need be (ARGS= for pytest)
	@$(CHROMIUM) --install
	$(TEST_PAGE) $(ARGS)

screenshots: .venv/.dev ## take docs/screenshots anew, of a made-up day
	@$(CHROMIUM) --install
	PYTHONPATH=tests $(BIN)/python -m tests.page.screenshots

test-crewai: $(CREWAI)/.venv/.run ## run the tests of the CrewAI listener, in an environment of their own (a gigabyte)
	$(CREWAI)/.venv/bin/python -m pytest $(CREWAI) $(ARGS)

check: .venv/.dev ## check format, lint, the direction of imports and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

format: .venv/.dev ## format the sources and repair what lint can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: .venv/.dev ## run the tests that take minutes
	@$(CHROMIUM) --install
	$(BIN)/python -m pytest -m "soak and not page" -o faulthandler_timeout=0 $(ARGS)
	$(BIN)/python -m pytest -n 2 -m "page and soak" -o faulthandler_timeout=0 tests/page
	EXECUTION_LEDGER_TEST_EXAMPLES=5 $(BIN)/python -m pytest -n auto -o faulthandler_timeout=0 \
		tests/audit tests/conformance/test_event_store.py tests/model tests/replay tests/run_statistics tests/upkeep tests/writer
	$(BIN)/python -m pytest -n auto -o faulthandler_timeout=0 --every-way tests/cli tests/instrument
	EXECUTION_LEDGER_TEST_KILL_SECONDS=60 EXECUTION_LEDGER_TEST_FEED_EVENTS=10000 \
		$(BIN)/python -m pytest -o faulthandler_timeout=0 tests/engine/test_kills.py tests/engine/test_feed.py \
		tests/webhooks/test_kills.py
	EXECUTION_LEDGER_TEST_LOAD_SECONDS=60 EXECUTION_LEDGER_TEST_LOAD_CLIENTS=200 \
		$(BIN)/python -m pytest -s -o faulthandler_timeout=0 tests/api/test_load.py

fuzz: .venv/.dev ## send many requests of every kind that the OpenAPI document allows or forbids
	EXECUTION_LEDGER_TEST_FUZZ_EXAMPLES=$(or $(EXAMPLES),300) \
		$(BIN)/python -m pytest -n 2 -o faulthandler_timeout=0 tests/api/test_fuzz.py $(ARGS)

bench: .venv/.dev ## measure, and write benchmarks/RESULTS.md (ARGS="--only bulk --rounds 7"; --quick just tries it)
	$(BIN)/python -m benchmarks $(ARGS)

bench-page: .venv/.dev ## measure the page in a real Chromium, and write benchmarks/PAGE.md (ARGS=--quick just tries it)
	@$(CHROMIUM) --install
	$(BIN)/python -m benchmarks.page $(ARGS)

docs: .venv/.dev ## write the generated documents again
	$(BIN)/python docs/generate.py

lock: .venv/.dev ## write the lock files anew (ARGS=--upgrade: with the newest releases)
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK) $(DBT)/requirements.in -o $(DBT)/requirements.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group build --group crewai --extra crewai -o $(CREWAI)/requirements.txt

clean: ## remove all that make made
	rm -rf .venv $(DBT)/.venv $(DBT)/.run $(CREWAI)/.venv build dist *.egg-info
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# .venv/.run: what the ledger needs to run, and the package itself, editable; .venv/.dev: all the rest.
# Both locks hold setuptools, so the package installs without build isolation: nothing comes in without a hash.
.venv/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@mkdir -p .venv/typing/execution_ledger # for pyright: see pyproject.toml
	@for layer in domain infrastructure projections api; do \
		ln -sfn ../../../$$layer .venv/typing/execution_ledger/$$layer || exit 1; done
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.run
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# dbt has an environment of its own: it shares many packages with us, and asks for other versions of some.
$(DBT)/.venv/.run: $(DBT)/requirements.txt | $(BIN)/python
	$(BIN)/python -m venv --clear $(DBT)/.venv
	$(DBT)/.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r $(DBT)/requirements.txt
	@touch $@

# So has CrewAI, for the same reason, with us in it: a gigabyte.
$(CREWAI)/.venv/.run: $(CREWAI)/requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m venv --clear $(CREWAI)/.venv
	$(CREWAI)/.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r $(CREWAI)/requirements.txt
	$(CREWAI)/.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The first Python that is new enough and can make environments (Debian keeps that in a package of its own).
$(BIN)/python:
	@why=; for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		why="$$python has no ensurepip (Debian, Ubuntu: apt install python3-venv)"; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || continue; \
		echo "making .venv with $$("$$python" -c 'import sys; print(sys.executable)')"; \
		"$$python" -m venv --clear .venv && exit; rm -rf .venv; exit 1; \
	done; \
	echo "make: $${why:-no Python 3.11 or later found: install one, or name it: make PYTHON=/path/to/python3}" >&2; exit 1
