# Every target first creates the virtual environment .venv if it is missing. Nothing is installed outside it.
# The first Python that is built with optimisations, with which Souk is up to 30 % faster, or else `python3`. Debian
# optimises its builds by other means than this option; its wheel folder tells them apart.
IS_OPTIMIZED := import ensurepip, re, sys, sysconfig, venv; options = sysconfig.get_config_var("CONFIG_ARGS") or ""; \
	sys.exit(sys.version_info < (3, 11) or not re.search("--enable-optimizations|/usr/share/python-wheels", options))
PYTHON ?= $(shell for one in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	if $$one -c '$(IS_OPTIMIZED)' 2>/dev/null; then echo $$one; exit; fi; done; echo python3)
# Test processes in parallel, each with its own shop.
JOBS   ?= 2
# What `make profile` does to the shop.
SCENARIO ?= checkout
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help up demo down compose test test-long lint fmt safeguards fuzz clients audit-deps bench profile faults docs lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[36mmake %-10s\033[0m %s\n", $$1, $$2}'

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Souk needs Python 3.11 or newer. Choose one with: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c '$(IS_OPTIMIZED)' 2>/dev/null || \
		echo "$(PYTHON) is built without optimisations: Souk runs up to 30 % slower. Choose another with: make PYTHON=..."
	@echo "Installing Souk's dependencies into $(VENV) (once; about a minute) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: $(STAMP) ## start the whole shop (Ctrl-C stops it)
	@$(BIN)/souk up $(ARGS)

demo: $(STAMP) ## buy something from the running shop and show what happens
	@$(BIN)/souk demo $(ARGS)

down: $(STAMP) ## stop the running shop (ARGS=--purge removes its data)
	@$(BIN)/souk down $(ARGS)

compose: $(STAMP) ## start the shop in containers (needs Docker Compose)
	@$(BIN)/souk compose-secrets $(ARGS)
	@docker compose up --build

# `coverage report` checks the coverage; without the option, pytest would make the same report before.
test: $(STAMP) ## run every test against real servers, with coverage
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --cov --cov-report= --cov-fail-under=0 $(ARGS)
	@$(BIN)/coverage combine -q --keep 2>/dev/null || true
	@$(BIN)/coverage report

test-long: $(STAMP) ## run the tests that take a minute or more each
	@$(BIN)/python -m pytest -m long $(ARGS)

lint: $(STAMP) ## check style, types and import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(STAMP) ## format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

safeguards: $(STAMP) ## remove each safeguard and check that a test fails
	@$(BIN)/python -m tests.mutation.mutation_runner $(ARGS)

fuzz: $(STAMP) ## send valid and invalid requests to the shop for ten minutes
	@$(BIN)/python -m tests.fuzz $(ARGS)

clients: $(STAMP) ## generate clients from OpenAPI and buy with each (needs Node.js)
	@$(BIN)/python -m tests.clients

audit-deps: $(STAMP) ## check the locked dependencies for known vulnerabilities (SERVICE=osv uses OSV instead of PyPI)
	@$(BIN)/pip-audit --disable-pip --require-hashes --progress-spinner off --strict -s $(or $(SERVICE),pypi) \
		-r requirements-dev.lock $(ARGS)

bench: $(STAMP) ## measure the shop beside what is required of it (ARGS=--help lists the options)
	@$(BIN)/python -m tests.bench $(ARGS)

profile: $(STAMP) ## draw flame graphs under load (SCENARIO=checkout, cart, detail, details, list, search, searches)
	@$(BIN)/python -m tests.bench.profiling $(SCENARIO) $(ARGS)

faults: $(STAMP) ## inject faults under load and check that the invariants hold
	@$(BIN)/python -m tests.chaos $(ARGS)

docs: $(STAMP) ## generate OpenAPI, AsyncAPI, the access table, the diagram and the contract snapshot
	@$(BIN)/souk docs $(ARGS)

lock: ## resolve the dependencies again, with hashes and without index addresses
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q uv
	@$(BIN)/uv pip compile pyproject.toml --all-extras --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 -q -o requirements-dev.lock --custom-compile-command "make lock"
	@$(BIN)/uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --universal \
		--python-version 3.11 -q -c requirements-dev.lock -o requirements.lock --custom-compile-command "make lock"

clean: ## remove the virtual environment, caches and test output (never .souk, the shop's data)
	@rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info tests/clients/.venv tests/clients/node_modules tests/clients/generated
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
