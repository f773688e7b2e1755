# `make help` lists the targets. They need Go, bash and the usual POSIX tools.
SHELL := bash
.DEFAULT_GOAL := help

# What run, dev and the benches pass on, for example make bench ARGS='-quick'.
ARGS ?=
# How long each fuzz target runs.
T ?= 30s

TOOLS   := go tool -modfile=tools/go.mod
LOG     := bin/log
# Begins every recipe with more than one command.
strict  := set -euo pipefail;

# Every directory with a module of its own, this one first.
MODULES  = $(patsubst %/,%,$(dir $(sort $(wildcard go.mod */go.mod */*/go.mod */*/*/go.mod))))
# The packages without the suites that make runs apart.
UNIT     = $(shell go list ./... | grep -vE '/(test/conformance|test/faults|test/chaos|test/attack|internal/archtest)(/|$$)')
# Where at least COVER percent of the statements must be covered.
COVERED := ./gateway/mqtt ./sas ./telemetry ./identity
COVER   := 90
# The race detector needs a C compiler.
RACE    := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

# What go test -fuzz says when its time is over in the midst of an input: it
# fails, without a finding.
out_of_time = { grep -qx ' *context deadline exceeded' $(1) && ! grep -qE 'Failing input|panic:|_test.go:' $(1); }

# Every failure that the logs have, with what stands around it, at the end of
# the output of make test: whoever sees only that knows what failed.
failures = { grep -hE -B 8 -A 16 '^ *--- FAIL:|^FAIL.*(build|setup) failed|^panic: |WARNING: DATA RACE' $(LOG)/*.log || true; } | tail -n 400

# REQUIRE_SDK=1 forbids skipping: whatever a suite lacks is a failure.
ifeq ($(REQUIRE_SDK),1)
export HUBGATE_REQUIRE_SDK := 1
endif

.PHONY: help
help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## builds bin/hubgate, which knows its version from git
	go build -trimpath -buildvcs=auto -ldflags '-s -w' -o bin/hubgate ./cmd/hubgate

.PHONY: dev
dev: ## starts a gateway to try things with: make dev ARGS='--host 127.0.0.2'
	@go run ./cmd/hubgate dev $(ARGS)

.PHONY: run
run: build ## starts a node with your configuration: make run ARGS='--config hub.yaml'
	@exec bin/hubgate serve $(ARGS)

.PHONY: test
test: ## all tests; with REQUIRE_SDK=1 a missing toolchain fails instead of being skipped
	@$(strict) rm -rf $(LOG); failed=; \
	for part in arch test-unit test-docs deploy-test faults attack conformance; do \
	  echo "==> make $$part"; \
	  $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; \
	echo; { grep -hoE 'SKIPPED: .*' $(LOG)/*.log || true; } | sort -u; \
	if [ -n "$$failed" ]; then \
	  $(failures); echo; echo "FAILED:$$failed"; exit 1; \
	fi; \
	echo 'make test: everything that ran has passed'

.PHONY: test-unit
test-unit: ## the tests that need Go alone
	@$(strict) mkdir -p $(LOG); \
	if [ -z '$(RACE)' ]; then \
	  echo 'SKIPPED: the race detector: it needs a C compiler' | tee $(LOG)/race.log; \
	  [ '$(REQUIRE_SDK)' != 1 ]; \
	fi
	$(strict) go test $(RACE) -shuffle=on -timeout 15m $(UNIT) 2>&1 | tee $(LOG)/unit.log
	$(strict) go test $(RACE) -tags nopoller -timeout 5m ./gateway 2>&1 | tee $(LOG)/nopoller.log # as where there is no epoll

.PHONY: arch
arch: ## the package map of ARCHITECTURE.md against the imports
	@mkdir -p $(LOG)
	$(strict) go test -count=1 ./internal/archtest 2>&1 | tee $(LOG)/arch.log

.PHONY: test-docs
test-docs: ## what the documentation tells back-end apps, and what dashboards and alerts go by, against a running hub
	@mkdir -p $(LOG)
	$(strict) go -C test/docs test $(RACE) -count=1 -timeout 15m -v ./... 2>&1 | tee $(LOG)/docs.log
	$(strict) go -C test/monitoring test -count=1 -timeout 10m -v ./... 2>&1 | tee $(LOG)/monitoring.log

.PHONY: deploy-test
deploy-test: ## systemd unit, image, Compose files and chart, against the binary and their own schemas
	@mkdir -p $(LOG)
	$(strict) go -C test/deploy test -count=1 -timeout 15m -v ./... 2>&1 | tee $(LOG)/deploy.log

.PHONY: faults
faults: ## kill -9, bad input, NATS away: against real processes
	@mkdir -p $(LOG)
	$(strict) go test -count=1 -timeout 15m -v ./test/faults/... 2>&1 | tee $(LOG)/faults.log

# How long make chaos harms the hub, and the seed of its schedule; none: any.
CHAOS_TIME ?= 1h
SEED       ?=

.PHONY: chaos-short
chaos-short: ## three nodes on three NATS servers, one fault of each kind, nothing acknowledged lost: under five minutes (Linux)
	@mkdir -p $(LOG)
	$(strict) go test -count=1 -timeout 15m -v ./test/chaos 2>&1 | tee $(LOG)/chaos.log

.PHONY: chaos
chaos: ## the same at random for long: make chaos CHAOS_TIME=1h SEED=7 ARGS='-devices 300'
	@mkdir -p $(LOG)
	$(strict) go run ./test/chaos -time $(CHAOS_TIME) $(if $(SEED),-seed $(SEED)) $(ARGS) 2>&1 | tee $(LOG)/chaos-long.log

.PHONY: attack
attack: ## stolen ids, forged tokens and headers, slow peers, floods: against real processes
	@mkdir -p $(LOG)
	$(strict) go test -count=1 -timeout 10m -parallel 8 -v ./test/attack/... 2>&1 | tee $(LOG)/attack.log

.PHONY: conformance
conformance: ## Microsoft's own SDKs against the real gateway, for the toolchains that are here
	@mkdir -p $(LOG)
	$(strict) go test -count=1 -timeout 20m -v ./test/conformance/... 2>&1 | tee $(LOG)/conformance.log

.PHONY: lint
lint: ## go vet in every module, and the linters of .golangci.yml
	@$(strict) for dir in $(filter-out tools,$(MODULES)); do \
	  echo "go vet in $$dir"; (cd $$dir && go vet ./...); \
	done
	$(TOOLS) golangci-lint run ./...
	@$(strict) for dir in test/docs test/monitoring test/deploy; do \
	  (cd $$dir && $$(go tool -n -modfile=../../tools/go.mod golangci-lint) run ./...); \
	done

.PHONY: fmt
fmt: ## formats the code
	$(TOOLS) golangci-lint fmt ./...

.PHONY: tidy-check
tidy-check: ## fails when a go.mod or go.sum is not tidy
	@$(strict) for dir in $(MODULES); do \
	  echo "go mod tidy -diff in $$dir"; (cd $$dir && go mod tidy -diff); \
	done

.PHONY: cross
cross: ## compiles for systems that the tests do not run on
	@$(strict) for target in linux/arm64 darwin/arm64 windows/amd64; do \
	  echo "go build for $$target"; \
	  CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build -o /dev/null ./cmd/hubgate; \
	done

.PHONY: fuzz
fuzz: ## each fuzz target for T, four at a time: make fuzz T=10m
	@$(strict) mkdir -p $(LOG); \
	for dir in $$(go list -f '{{.Dir}}' ./...); do \
	  for name in $$(cat "$$dir"/*_test.go 2>/dev/null | grep -oE '^func Fuzz[A-Za-z0-9_]+' | cut -d' ' -f2); do \
	    echo "$$dir $$name"; \
	  done; \
	done | xargs -P 4 -L 1 sh -c '$(MAKE) --no-print-directory fuzz-one D="$$0" N="$$1"'

.PHONY: fuzz-one
fuzz-one:
	@$(strict) log=$(LOG)/fuzz-$(notdir $(D))-$(N).log; \
	if go test -run '^$$' -fuzz '^$(N)$$' -fuzztime $(T) -parallel 1 $(D) >$$log 2>&1; then \
	  echo "$(N): nothing in $(T), $$(grep -oE 'execs: [0-9]+' $$log | tail -1)"; \
	elif $(call out_of_time,$$log); then \
	  echo "$(N): nothing; its time was over while a worker was busy"; \
	else \
	  cat $$log; exit 1; \
	fi

.PHONY: golden
golden: ## rewrites golden files: pages made from the code, the SDKs' wire transcripts
	@$(strict) for dir in $$(go list -f '{{.Dir}}' ./...); do \
	  if cat "$$dir"/*_test.go 2>/dev/null | grep -q 'flag.Bool("update"'; then \
	    go test -count=1 -timeout 20m "$$dir" -update; \
	  fi; \
	done

.PHONY: bench
bench: ## the gateway beside JetStream, nats-server and mosquitto: a table of ratios (Linux)
	go run ./test/bench $(ARGS)

.PHONY: bench-codec
bench-codec: ## the MQTT codec beside those of other libraries
	cd test/bench/codec && go test -run '^$$' -bench . -benchmem $(ARGS) ./...

.PHONY: cover
cover: ## test coverage of the packages that must have it
	@$(strict) go test -cover $(COVERED) | awk -v least=$(COVER) -v want=$(words $(COVERED)) '{ print } \
	  /coverage: / { sub(/.*coverage: /, ""); seen++; if ($$1 + 0 < least) low++ } \
	  END { if (seen != want || low) { print "not every package has " least "% of its statements covered"; exit 1 } }'

.PHONY: vuln
vuln: ## known vulnerabilities in what we depend on (asks the Go vulnerability database)
	$(TOOLS) govulncheck ./...

.PHONY: tools
tools: ## compiles the tools that are pinned in tools/go.mod, and nats in test/docs/go.mod, which their first use does otherwise
	@$(strict) for tool in golangci-lint gofumpt staticcheck govulncheck benchstat; do \
	  go tool -n -modfile=tools/go.mod $$tool >/dev/null; echo "$$tool is ready"; \
	done; \
	go -C test/docs tool -n nats >/dev/null; echo 'nats is ready'

.PHONY: deps
deps: ## installs the Debian packages that tests and benches use, where they are missing
	@$(strict) PATH="$$PATH:/usr/sbin"; need=; \
	command -v mosquitto >/dev/null || need="$$need mosquitto"; \
	command -v mosquitto_pub >/dev/null || need="$$need mosquitto-clients"; \
	command -v jq >/dev/null || need="$$need jq"; \
	if command -v python3 >/dev/null && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then \
	  need="$$need python3-venv"; \
	fi; \
	if [ -z "$$need" ]; then echo 'nothing is missing'; exit; fi; \
	if [ "$$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "missing, for you to install:$$need"; exit; \
	fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get -q update; apt-get -q install -y --no-install-recommends $$need

.PHONY: clean
clean: ## removes what was built and what the SDK suites installed
	rm -rf bin test/conformance/.cache
