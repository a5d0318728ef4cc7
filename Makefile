# SPDX-License-Identifier: GPL-2.0-only
# What a person or CI types. Cargo and the scripts in tools/ do the work.
SHELL := /bin/bash
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: help setup kernel build demo test lint unit facts suites fuzz docs docs-links bench install uninstall clean

# rustup puts cargo here; a shell that was open before does not know.
export PATH := $(PATH):$(HOME)/.cargo/bin

# What install copies, and where to. DESTDIR goes before PREFIX, for packages.
BUILT ?= target/release
PREFIX ?= /usr/local

say = @echo "==> $(1)"
cargo_test = cargo test --release --locked --no-fail-fast

help:
	@echo 'make demo       install packages, build, and work on an image: the tour'
	@echo 'make build      the library and the command, in target/release'
	@echo 'make test       everything that CI runs'
	@echo 'make lint       format, clippy, licences and sources, links of the docs'
	@echo 'make unit       the tests of each crate by itself'
	@echo 'make facts      the small C programs, natively and served'
	@echo 'make suites     test suites of other projects, natively and on a mount; SUITES="$(filter-out lib,$(notdir $(basename $(wildcard tests/suites/*.sh))))"'
	@echo 'make fuzz       random input for every parser; SECONDS=600 says how long'
	@echo 'make docs       the book, in target/book'
	@echo 'make bench      measure; BENCH="run --rows start" passes options on'
	@echo 'make kernel     the kernel alone'
	@echo 'make setup      install the packages and tools that are missing'
	@echo 'make install    command, library, man pages, completions; PREFIX=/usr/local DESTDIR='
	@echo 'make uninstall  remove what install put there'
	@echo 'make clean      remove everything built'

setup:
	$(call say,packages and tools)
	@tools/setup.sh build image test

# The library's build script asks for the same kernel; here its progress can be seen.
kernel:
	$(call say,kernel (the first time takes some minutes))
	@tools/setup.sh build
	cargo run --release --locked -p kbuild

build: kernel
	$(call say,library and command)
	cargo build --release --locked --workspace

demo:
	@tools/setup.sh build image
	@$(MAKE) --no-print-directory build
	$(call say,demo)
	@tools/demo.sh

lint:
	$(call say,format)
	cargo fmt --all --check
	@tools/setup.sh build lint
	$(call say,licences and sources)
	cargo deny --locked check bans licenses sources
	@$(MAKE) --no-print-directory docs-links
	@$(MAKE) --no-print-directory kernel
	$(call say,lints)
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

unit: kernel
	$(call say,tests of each crate)
	$(cargo_test) --workspace --exclude stowaway-tests

facts: build
	$(call say,facts)
	$(cargo_test) -p stowaway-tests --test facts --test cancel --test conform

# Test suites of other projects. They take a minute to half an hour each, install Debian packages, and are no part of test.
SUITES ?= cpython
suites: build
	@result=0; for suite in $(SUITES); do echo "==> $$suite"; tests/suites/$$suite.sh || result=1; done; exit $$result

SECONDS ?= 600
fuzz: kernel
	$(call say,random input for $(SECONDS) s)
	cargo run --release --locked -p stowaway-fuzz -- --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

docs: docs-links
	@tools/setup.sh docs
	$(call say,book)
	mdbook build docs

docs-links:
	$(call say,links of the docs)
	$(cargo_test) -p stowaway-tests --test docs

# The first cargo test runs what unit and facts run, and all other suites: the examples and make install among them.
test: setup lint build
	$(call say,tests)
	$(cargo_test) --workspace
	$(call say,files and sockets again: events by (emulated) user interrupts)
	STOWAWAY_TEST_DOORBELL=uintr $(cargo_test) -p stowaway-tests \
		--test facts --test sockets --test filesystems
	$(call say,files again: a directory of the host under every mount)
	STOWAWAY_TEST_GROUND=empty $(cargo_test) -p stowaway-tests \
		--test facts --test coreutils --test conform
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory fuzz SECONDS=5 SEED=1
	$(call say,test: all good)

BENCH ?= run
bench: setup build
	$(call say,bench)
	cargo run --release --locked -p bench -- $(BENCH)

# Copies what is built and calls no cargo, so that root needs no Rust: make build, then sudo make install.
root = $(DESTDIR)$(PREFIX)
install:
	@for file in stowaway libstowaway.so; do \
		[ -e "$(BUILT)/$$file" ] || { echo "$(BUILT)/$$file is missing: run make build first" >&2; exit 1; }; done
	install -D -m 755 "$(BUILT)/stowaway" "$(root)/bin/stowaway"
	install -D -m 755 "$(BUILT)/libstowaway.so" "$(root)/lib/stowaway/libstowaway.so"
	"$(BUILT)/stowaway" pages "$(root)/share"

# Empty folders go as well, PREFIX itself stays.
uninstall:
	rm -f "$(root)/bin/stowaway" "$(root)/lib/stowaway/libstowaway.so"
	rm -f "$(root)"/share/man/man1/stowaway{,-*}.1
	rm -f "$(root)/share/bash-completion/completions/stowaway"
	rm -f "$(root)/share/zsh/site-functions/_stowaway"
	rm -f "$(root)/share/fish/vendor_completions.d/stowaway.fish"
	@cd "$(root)/" 2>/dev/null || exit 0; \
	for folder in bin lib/stowaway share/man/man1 share/bash-completion/completions \
			share/zsh/site-functions share/fish/vendor_completions.d; do \
		[ ! -d "$$folder" ] || rmdir -p --ignore-fail-on-non-empty "$$folder"; done

clean:
	cargo clean
