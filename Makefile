.DEFAULT_GOAL := help
SHELL := bash

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the functions, the CLI and the local stack
	cargo build --workspace --locked

.PHONY: demo
demo: build ## Run a whole migration on this machine, with live clients (ARGS="--help" shows options)
	target/debug/demo $(ARGS)

.PHONY: demo-resume
demo-resume: build ## Go on with the migration that an interrupted demo left behind
	target/debug/demo --resume $(ARGS)

.PHONY: demo-aws
demo-aws: build ## Deploy with the CDK into a stand-in for AWS that enforces IAM, and migrate (ARGS="--help")
	target/debug/demo-aws $(ARGS)

.PHONY: stack
stack: build ## Keep the local stack up for playing, until Ctrl-C (ARGS="--help" shows options)
	target/debug/stack up $(ARGS)

.PHONY: test
test: build ## Set everything up and run all tests, the end-to-end migration among them
	scripts/test

.PHONY: test-unit
test-unit: ## Run the tests that need no stack
	cargo test --workspace --locked --lib --bins

.PHONY: fuzz
fuzz: ## Fuzz what reads stored and received bytes (SECONDS_EACH=60, TARGETS="batch tail runs sealed")
	scripts/fuzz

.PHONY: test-faults
test-faults: build ## Run migrations while brokers, networks, functions and AWS fail (ARGS="--help" shows options)
	target/debug/faults $(ARGS)

.PHONY: test-rights
test-rights: build ## Take each statement of the deployed policies away and see a migration say so (ARGS="SID ...")
	target/debug/rights $(ARGS)

.PHONY: test-scale
test-scale: build ## Precheck and plan 2,000 topics with 10,000 partitions (one of the tests), and print time and memory
	cargo test --locked -p e2e --test scale -- --nocapture

.PHONY: bench
bench: ## Measure the copy beside MirrorMaker 2, a bare relay and Kafka's own tools (ARGS="--help" shows options)
	cargo build --release --workspace --locked --bins
	target/release/bench $(ARGS)

.PHONY: bench-freeze
bench-freeze: ## Measure how long producers stand still, step by step, up to 10,000 partitions (ARGS="--sizes 306x50")
	cargo build --release --workspace --locked --bins
	target/release/bench freeze $(ARGS)

.PHONY: check-infra
check-infra: ## Check the CDK app and the Terraform module, and that they agree
	infra/check

.PHONY: package
package: ## Cross-compile and zip the functions for AWS Lambda, and the CLI (ARGS="--arch x86_64"; arm64 without)
	scripts/package $(ARGS)

.PHONY: try-packages
try-packages: ## Start each packaged function as Lambda would, arm64 under qemu (ARGS=target/package/x86_64)
	scripts/try-packages $(ARGS)

.PHONY: lint
lint: ## Formatting, clippy, documentation, dependency rules
	scripts/lint

.PHONY: clean-stack
clean-stack: ## Delete the data of every local stack (what was fetched stays)
	find target/stack -mindepth 1 -maxdepth 1 -exec rm -rf {} +
