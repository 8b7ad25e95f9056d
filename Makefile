.DEFAULT_GOAL := help
.PHONY: help run test lint check case bless soak bench fmt docs build
SHELL := /bin/bash

help: ## Lists these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 16
run: ## Builds, starts the demo and prints the URL (ARGS="--once" ends after one turn of the loop)
	@scripts/need && cargo build --workspace && target/debug/bartizan demo $(ARGS)
build: ## Builds everything, tests included
	@scripts/need && cargo build --workspace --all-targets
test: ## Everything: unit tests, cases, SDKs, kill trials (ONLY=clients for one step)
	@scripts/need && scripts/test $(if $(ONLY),--only "$(ONLY)")
lint: ## Clippy with our small set, licences, unused dependencies (a second build: some six minutes)
	@scripts/need && scripts/licences && scripts/unused-dependencies && scripts/lint
check: ## The quick loop: format, build, unit tests of what changed
	@scripts/need && scripts/check
case: build ## Runs the cases whose heading contains CASE="strlen > refuses"
	@target/debug/bartizan-dev case "$(CASE)"
bless: build ## Rewrites the answers of our own cases (CASE=… for some)
	@target/debug/bartizan-dev case --bless "$(CASE)"
soak: ## Long fault trials: kills during upload and paging, power cuts, 100,000 schedules
	@scripts/need && scripts/soak
bench: ## Latencies and ratios, measured; prints a table
	@scripts/need && bench/run
fmt: ## Formats all Rust files
	@rustfmt --edition 2024 $$(git ls-files '*.rs')
docs: ## Makes a book of docs/ where mdBook is installed
	@if command -v mdbook >/dev/null; then mdbook build && echo "target/book/index.html"; else echo "mdBook is not installed (cargo install mdbook); the pages: docs/README.md"; fi
