# `make` lists what there is.
SHELL := /bin/bash
GO ?= go
LINT := $(GO) tool -modfile=.ci/tools.mod golangci-lint
FUZZTIME ?= 10s
COUNT ?= 10
VERSION ?= development
GORELEASER ?= v2.15.4

.DEFAULT_GOAL := help
.PHONY: help build test race cover fuzz bench bench-doc benchgo chaos chaos-long lint vuln fmt generate check-generated golden stats up down compose-smoke deploy-check cross release-check ci tidy

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/wxnotify, static
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/wxnotify ./cmd/wxnotify

test: ## all tests, shuffled
	$(GO) test -shuffle=on -count=1 -timeout=10m ./...

race: ## all tests under the race detector
	$(GO) test -race -shuffle=on -count=1 -timeout=20m ./...

cover: ## coverage per package
	$(GO) test -count=1 -coverprofile=coverage.out ./... && $(GO) tool cover -func=coverage.out | tail -n 1

fuzz: ## every fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME) -guided

bench: ## what a message costs, side by side in one run; ARGS=-quick for a first look
	$(GO) run ./internal/bench $(ARGS)

bench-doc: ## the same, written to docs/performance.md with profiles of missed goals
	$(GO) run ./internal/bench $(ARGS) -doc docs/performance.md

benchgo: ## Go benchmarks of the hot parts, for benchstat
	$(GO) test -run '^$$' -bench . -benchmem -count=$(COUNT) ./internal/job ./wechat ./ratelimit ./internal/queue ./producer

chaos: ## break everything, small: under three minutes, needs redis-server
	$(GO) run ./internal/chaos $(CHAOSFLAGS)

chaos-long: ## 100 000 messages through every fault; writes docs/reliability.md
	$(GO) run ./internal/chaos -long -report docs/reliability.md $(CHAOSFLAGS)

lint: ## golangci-lint with the laws of .golangci.yml
	$(LINT) run --allow-parallel-runners ./...

# It needs https://vuln.go.dev, which machines without access to the Internet do not
# reach: it fails there, and says nothing of vulnerabilities. CI does not run it.
VULN := golang.org/x/vuln/cmd/govulncheck@v1.9.0
vuln: ## known vulnerabilities of what is linked, by govulncheck; needs the Internet
	$(GO) run $(VULN) ./...

fmt: ## format as the linter wants it
	$(LINT) fmt ./...

generate: ## write generated documents again
	$(GO) generate ./...

check-generated: generate ## fail when a generated document drifted
	git diff --exit-code -- docs README.md README.zh-CN.md .env.example

golden: ## write golden files again; read the difference before you commit it
	$(GO) test ./... -run Golden -update

stats: ## size of files and functions against the budget
	.ci/stats

up: ## redis, two workers and a simulated WeChat
	docker compose --env-file simulate.env --profile simulate up --build

down: ## stop them
	docker compose --env-file simulate.env --profile simulate down

compose-smoke: ## run docker-compose.yml: image, health checks, 100 of 100 delivered; installs an engine where none runs
	deploy/compose-smoke

deploy-check: ## the files of deploy/ with the real nginx, caddy, promtool, systemd and the types of Kubernetes
	$(GO) test -count=1 -run '^TestDeploy' ./cmd/wxnotify
	cd deploy/kubernetes/check && $(GO) run . ..

cross: ## bin/wxnotify-linux-amd64 and bin/wxnotify-linux-arm64, static, as VERSION
	for arch in amd64 arm64; do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=$(VERSION)" \
	    -o bin/wxnotify-linux-$$arch ./cmd/wxnotify || exit 1; \
	done

release-check: ## check .goreleaser.yaml with goreleaser; builds it the first time, some minutes
	$(GO) run github.com/goreleaser/goreleaser/v2@$(GORELEASER) check

ci: ## what the gate runs
	.ci/run

tidy: ## tidy the modules
	$(GO) mod tidy
