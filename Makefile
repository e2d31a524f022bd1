# The commands of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help build demo test test-etcd-long test-store-long lint fmt bench-failover sim sim-exhaustive sim-mutants clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

build: ## build the programs into target/bin
	scripts/need build
	scripts/stage

demo: ## three real PostgreSQL nodes, one name, failovers; ARGS=--keep leaves the cluster running
	scripts/need build postgres named
	scripts/stage
	target/bin/tanist demo $(ARGS)

# End-to-end tests mostly wait for real time to pass: one more of them at once than there are processors.
test: ## every test: unit, golden, conformance, end to end with real PostgreSQL, etcd, BIND, HAProxy and patronictl
	scripts/need build postgres named dig etcd netns kill volumes faketime haproxy patronictl
	scripts/stage
	cargo clippy -p tanist-engine -- -D warnings
	RUST_TEST_THREADS=$$(($$(nproc) + 1)) cargo test --workspace --no-fail-fast

test-etcd-long: ## etcd's leader killed 25 times and stopped 25 times under a lease; about 8 minutes
	scripts/need build etcd kill
	TANIST_ETCD_ROUNDS=25 cargo test -p tanist-dcs --test etcd -- --nocapture leader_of_the_store

test-store-long: ## etcd's leader killed and stopped 25 times under a whole cluster and a writing client; about 15 minutes
	scripts/need build postgres etcd netns
	scripts/stage
	TANIST_STORE_ROUNDS=25 cargo test -p tanist-tests --test e2e -- --nocapture store_leader

lint: ## formatting and lints of everything
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## format everything
	cargo fmt --all

bench-failover: ## failover times of this machine, also beside Patroni from PyPI, as tables; RUNS=5
	scripts/need build postgres named etcd netns patronictl
	scripts/stage
	cargo run -p tanist-tests --bin bench-failover -- $(RUNS)
	cargo run -p tanist-tests --bin bench-beside-patroni -- $(RUNS)

SCHEDULES ?= 1000000
SEED ?= 1

sim: ## hunt the engine with random schedules; SCHEDULES=10000000 SEED=1
	hunt=$$(core/sim/build-hunt.sh) && "$$hunt" fuzz --schedules $(SCHEDULES) --seed $(SEED)

sim-exhaustive: ## every interleaving of two and of three nodes within 3 epochs and 2 faults; some 20 million states, 2 GB
	cargo build -p tanist-sim --profile hunt
	target/hunt/tanist-sim exhaustive --scope full

sim-mutants: ## show which seed catches each bad change of the models and of the engine's source
	cargo build -p tanist-sim --profile hunt
	target/hunt/tanist-sim mutants
	target/hunt/tanist-sim mutants --source .

clean: ## remove everything that was built
	cargo clean
