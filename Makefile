# Every command bootstraps the virtual environment it needs; nothing is installed outside .venv.
PYTHON ?= python3
# Tests run side by side, each with a shop of its own.
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help up demo down compose test test-long lint fmt safeguards fuzz audit-deps bench docs lock clean

help: ## show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[36mmake %-10s\033[0m %s\n", $$1, $$2}'

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Souk needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "Installing Souk's dependencies into $(VENV) (once; about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: $(STAMP) ## start the whole shop in the foreground (Ctrl-C stops it)
	@$(BIN)/souk up $(ARGS)

demo: $(STAMP) ## buy something from the running shop and watch it happen
	@$(BIN)/souk demo $(ARGS)

down: $(STAMP) ## stop a shop that still runs (ARGS=--purge removes its data)
	@$(BIN)/souk down $(ARGS)

compose: $(STAMP) ## start the same shop in containers (needs Docker with compose)
	@$(BIN)/souk secrets $(ARGS)
	@docker compose up --build

test: $(STAMP) ## run every test against real servers, with coverage
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report= $(ARGS)
	@$(BIN)/coverage combine -q --keep 2>/dev/null || true
	@$(BIN)/coverage report

test-long: $(STAMP) ## run the tests that take a minute or more each: full disks, a cluster by command
	@$(BIN)/python -m pytest -m long $(ARGS)

lint: $(STAMP) ## check style, types and the import law
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(STAMP) ## format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

safeguards: $(STAMP) ## take each safeguard away and see that a test notices
	@$(BIN)/python -m tests.mutation.safeguards $(ARGS)

fuzz: $(STAMP) ## send the shop ten minutes of everything that OpenAPI allows and forbids
	@$(BIN)/python -m tests.fuzz $(ARGS)

audit-deps: $(STAMP) ## ask PyPI what is known against the locked dependencies (SERVICE=osv asks OSV)
	@$(BIN)/pip-audit --disable-pip --require-hashes --progress-spinner off --strict -s $(or $(SERVICE),pypi) \
		-r requirements-dev.lock $(ARGS)

bench: $(STAMP) ## measure the shop beside the limits of this machine
	@$(BIN)/python -m tests.bench $(ARGS)

faults: $(STAMP) ## break the shop under load in every way there is, and check that it keeps its laws
	@$(BIN)/python -m tests.chaos $(ARGS)

docs: $(STAMP) ## write OpenAPI, AsyncAPI, who may do what, and the contract snapshot
	@$(BIN)/souk docs $(ARGS)

lock: ## resolve the dependencies anew, with hashes and without index addresses
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile pyproject.toml --all-extras --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 -q -o requirements-dev.lock --custom-compile-command "make lock"
	@$(BIN)/uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 -q -c requirements-dev.lock -o requirements.lock --custom-compile-command "make lock"

clean: ## remove the virtual environment, caches and test leftovers (never .souk, the shop's data)
	@rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
