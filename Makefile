# For work on Slipway. To use it, ./slip is enough.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# `slip` makes these environments on first use. `=`, not `:=`: only the targets that use one make it.
python = $(or $(shell SLIPWAY_DEV=1 ./slip --python),$(error no Python environment, see the message above))
docs_python = $(or $(shell SLIPWAY_DEV=docs ./slip --python),$(error no Python environment, see the message above))
supply_python = $(or $(shell SLIPWAY_DEV=supply ./slip --python),$(error no Python environment, see the message above))
PYTEST_ARGS ?=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: tools test-unit test-plugins test-e2e ## Run all tests, end to end included (minutes)

.PHONY: tools
tools: ## Install what this machine lacks: Pulumi, plugins, Docker Engine, images, users' Python packages
	$(python) -m toolchain
	@./slip --python >/dev/null

.PHONY: test-unit
test-unit: ## Run the unit tests, which need only Python, and Go for an ACME authority
	PULUMI_ERROR_OUTPUT_STRING=true $(python) -m pytest tests/unit --numprocesses auto --dist worksteal $(PYTEST_ARGS)

.PHONY: test-plugins
test-plugins: ## Compare the stand-in plugins with recordings of the official plugins
	$(python) -m pytest tests/plugins --numprocesses auto --dist worksteal $(PYTEST_ARGS)

.PHONY: test-e2e
test-e2e: ## Bring stacks up on this machine, break them, and take them down
	$(python) -m pytest tests/e2e -m "not soak" --numprocesses 3 --dist loadgroup $(PYTEST_ARGS)

.PHONY: soak
soak: tools ## Kill many roll-outs, roll out many versions and change what can change, under load (an hour)
	$(python) -m pytest tests/e2e -m soak --capture=no $(PYTEST_ARGS)
	$(python) -m pytest tests/unit -m hypothesis --hypothesis-profile=search --numprocesses auto

.PHONY: pins
pins: ## Record the program's resources again, after an intended change
	$(python) -m tests.unit.components.resource_pins

.PHONY: reference
reference: ## Write the configuration's schema, the generated pages and the consumer's helper again
	$(python) -m configuration.reference
	$(python) -m dev.reference_pages
	$(python) -m dev.consumer_helper

.PHONY: lock
lock: ## Pin what the requirements bring in, with hashes; UPGRADE=1 takes the newest versions
	$(supply_python) -m dev.lock $(if $(UPGRADE),--upgrade)

.PHONY: sbom
sbom: ## Write sbom.json: what Slipway installs and runs (CycloneDX)
	$(supply_python) -m dev.sbom

.PHONY: audit
audit: ## Look for known vulnerabilities of the locked packages; needs a database, such as PyPI's
	$(supply_python) -m dev.audit

.PHONY: lint
lint: ## Check formatting, style, types, imports, dead code, shell scripts and workflows
	$(python) -m dev.lint

.PHONY: fmt
fmt: ## Format the code, and apply the linter's automatic fixes
	$(python) -m ruff check --fix-only --quiet .
	$(python) -m ruff format .

.PHONY: docs
docs: ## Build the documentation's site in site/; a dead link fails the build
	NO_MKDOCS_2_WARNING=1 $(docs_python) -m mkdocs build --strict

.PHONY: bench
bench: ## Measure updates against a plain script (minutes; results go to bench/results)
	$(python) -m bench
