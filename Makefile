# Targets for people. `make help` lists them; each is a line or two of cargo.

.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help build demo test test-cluster conformance lint bench bench-cluster chart images fuzz clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build every program (development profile, the one tests and demo use)
	$(CARGO) build --workspace --bins

demo: packages build ## a mesh of two nodes on this machine, until Ctrl-C (root)
	target/debug/demo

test: packages build ## every test (root: real network namespaces and rules)
	e2e/run-tests.sh

test-cluster: build ## scenarios on a cluster: that of KUBECONFIG, else the kit's in KUBE_KIT (see CONTRIBUTING.md)
	target/debug/cluster $(SCENARIOS)

conformance: build ## the Gateway API conformance suite for meshes on that cluster, report in docs/conformance/
	target/debug/cluster --conformance docs/conformance/mesh.yaml

bench-cluster: ## what capture and the control plane cost on that cluster (release build)
	$(CARGO) build --release --workspace --bins
	IMAGE_PROFILE=release target/release/cluster --bench

lint: ## formatting, clippy and documentation, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

bench: ## the mesh against raw relays, waypoints against Envoy, HAProxy and nginx (root, release build)
	e2e/install-packages.sh --bench
	$(CARGO) build --release --workspace --bins
	target/release/bench

chart: ## lint the chart and render it with several sets of values (helm, or the kit in KUBE_KIT)
	manifests/charts/check.sh

images: ## container images, by DOCKER=docker or for the kit's cluster in KUBE_KIT
	manifests/docker/images.sh

fuzz: ## a minute of fuzzing for every parser of foreign bytes (nightly, cargo-fuzz)
	fuzz/run.sh

clean: ## remove what was built
	$(CARGO) clean

.PHONY: packages
packages:
	e2e/install-packages.sh
