# The everyday commands. All work on a fresh Debian with Rust, node (npm) and python3, as root or as anybody else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# How large the sample shop of `make demo` is: 1 is about 1.3 GB.
SCALE ?= 0.2
export SCALE

.PHONY: help test lint fmt docs demo bench picture screens postgres neon-api ui-tools prerequisites clean-cache

help:            ## What there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

test: prerequisites postgres neon-api ui-tools lint  ## Everything: format, lint, and all tests on Postgres 14 to 18
	@for major in 14 15 16 17 18; do test -x "$${NEON_MIGRATE_TEST_PG:-.cache/pg}/$$major/bin/postgres" || { echo "Postgres $$major is missing"; exit 1; }; done
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --all-targets; \
	else \
	  echo "cargo-nextest is not installed; running cargo test instead"; cargo test --all-targets -- --test-threads=2; \
	fi

lint: prerequisites  ## Format and lint; licences and sources where cargo-deny is installed
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed; licences were not checked"; fi

docs:            ## Writes docs/guide/findings.md from the texts of the checks
	NEON_MIGRATE_WRITE_DOCS=1 cargo test --lib --quiet -- the_guide_says_what_the_checks_say

fmt:             ## Formats the code
	cargo fmt

demo: prerequisites postgres  ## Two real local clusters, a sample shop, one migration (SCALE=0.2, SOURCE_MAJOR=17, TARGET_MAJOR=18, KEEP=1)
	cargo build --release
	scripts/demo target/release/neon-migrate

bench: prerequisites postgres  ## Our speed beside pg_dump, pg_restore and pgcopydb, in one run (BENCH="--quick", "--rounds 5", …)
	cargo build --release
	scripts/bench target/release/neon-migrate $(BENCH)
	scripts/bench_check target/release/neon-migrate $(filter --quick,$(BENCH))

picture: prerequisites postgres  ## Draws the README's pictures of the terminal from a real run of the demo
	cargo build --release
	scripts/picture target/release/neon-migrate

screens: prerequisites postgres ui-tools  ## Takes the pictures of the page for the README and the guide from a real migration
	cargo build --release
	scripts/screens target/release/neon-migrate

postgres: prerequisites  ## Fetches the Postgres servers and client tools into .cache/pg
	@scripts/fetch-postgres

neon-api: prerequisites  ## Fetches the document of Neon's API, and the mock for its contract test, into .cache/neon-api
	@scripts/fetch-neon-api

ui-tools: prerequisites  ## Fetches what drives the browser in the tests of the page into .cache/ui
	@scripts/fetch-ui-tools

prerequisites:
	@scripts/prerequisites

clean-cache:     ## Removes what was fetched
	rm -rf .cache/pg .cache/neon-api .cache/ui
