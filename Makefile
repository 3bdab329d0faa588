# Lifeboat. `make help` lists what can be made.
SHELL := /bin/bash
CARGO ?= cargo
PROFILE ?= release
BINARY := target/$(PROFILE)/lifeboat

.PHONY: help deps build test lint demo bench bench-planner bench-sim bench-liveness clean-lab

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

deps: ## install what the lab and the tests need (Debian 12 or 13; says what and why)
	@tools/install-deps.sh

build: ## build the one binary
	$(CARGO) build --locked --profile $(PROFILE) --package lifeboat

demo: deps build ## a host dies in a farm on this machine, and its VMs come back
	@$(BINARY) lab demo

test: deps ## the whole test suite
	@tools/test.sh

lint: ## formatting, warnings, layers, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --profile ci -- -D warnings
	$(CARGO) xtask check-layers
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and sources are not checked (cargo install --locked cargo-deny)"; fi

bench: deps build ## measure, and write the tables into docs/benchmarks.md
	@tools/bench.sh $(BINARY)

bench-planner: ## measure the planner, and write its table into docs/benchmarks.md
	$(CARGO) build --locked --release --package lifeboat-planner --examples
	@python3 -B tools/bench_planner --tools ../shared/tools --write docs/benchmarks.md

bench-sim: ## measure the simulator, and write its table into docs/benchmarks.md
	$(CARGO) build --locked --release --package lifeboat-sim --example bench
	@tools/bench-sim.sh target/release/examples/bench

bench-liveness: deps build ## measure how soon failures are noticed, and write its tables into docs/benchmarks.md
	$(CARGO) build --locked --release --package lifeboat-sim --example calm
	@tools/bench-liveness.sh $(BINARY) target/release/examples/calm

clean-lab: ## take down a lab that was left behind
	@$(BINARY) lab down
