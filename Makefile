# For those who work on Slipway. Users need only ./slip.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Made on first use; see `slip`. Asked for only by targets that need it.
python = $(or $(shell SLIPWAY_DEV=1 ./slip --python),$(error there is no Python environment, see above))
PYTEST_ARGS ?=

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: tools test-unit test-plugins test-e2e ## Run all the tests, end to end included (minutes)

.PHONY: tools
tools: ## Install what is missing on this machine: Pulumi, plugins, Docker Engine, images
	$(python) -m toolchain.toolchain

.PHONY: test-unit
test-unit: ## Run the tests that need nothing but Python
	PULUMI_ERROR_OUTPUT_STRING=true $(python) -m pytest tests/unit --numprocesses auto $(PYTEST_ARGS)

.PHONY: test-plugins
test-plugins: ## Compare the stand-in plugins with recordings of the official ones
	$(python) -m pytest tests/plugins --numprocesses auto $(PYTEST_ARGS)

.PHONY: test-e2e
test-e2e: ## Bring the whole line up on this machine, break it in many ways, and take it down
	$(python) -m pytest tests/e2e $(PYTEST_ARGS)

.PHONY: pins
pins: ## Record the program's resources anew, after a change of them that is meant
	$(python) -m tests.unit.components.resource_pins

.PHONY: lint
lint: ## Check formatting, style, types, shell scripts and workflows
	$(python) -m dev.lint

.PHONY: fmt
fmt: ## Format the code, and fix what can be fixed without a person
	$(python) -m ruff check --fix-only --quiet .
	$(python) -m ruff format .

.PHONY: bench
bench: ## Measure updates against a plain script (minutes; results in bench/results)
	$(python) -m bench
