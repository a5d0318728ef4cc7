# SPDX-License-Identifier: GPL-2.0-only
# What a person or CI types. The work is done by cargo and by the scripts in tools/.
SHELL := /bin/bash
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: help setup kernel build demo test bench clean

# rustup puts cargo here; a shell that has not been started anew does not know.
export PATH := $(PATH):$(HOME)/.cargo/bin

say = @echo "==> $(1)"

help:
	@echo 'make demo    install packages, build, and work on an image: the tour'
	@echo 'make build   the library and the command, in target/release'
	@echo 'make test    everything that CI runs'
	@echo 'make bench   measure; BENCH="run --rows start" passes options on'
	@echo 'make setup   install the packages that are missing'
	@echo 'make clean   remove everything built'

setup:
	$(call say,packages)
	@tools/setup.sh build image test

# The library's build script asks for the same kernel; here its progress can be seen.
kernel:
	$(call say,kernel (the first time takes some minutes))
	@tools/setup.sh build
	cargo run --release -p kbuild

build: kernel
	$(call say,library and command)
	cargo build --release --workspace

demo:
	@tools/setup.sh build image
	@$(MAKE) --no-print-directory build
	$(call say,demo)
	@tools/demo.sh

test: setup
	$(call say,format)
	cargo fmt --all --check
	@$(MAKE) --no-print-directory kernel
	$(call say,lints)
	cargo clippy --release --workspace --all-targets -- -D warnings
	$(call say,build)
	cargo build --release --workspace
	$(call say,tests)
	cargo test --release --workspace --no-fail-fast
	$(call say,files and sockets again: events by (emulated) user interrupts)
	STOWAWAY_TEST_DOORBELL=uintr cargo test --release -p stowaway-tests --no-fail-fast \
		--test facts --test sockets --test filesystems
	$(call say,files again: a directory of the host under every mount)
	STOWAWAY_TEST_GROUND=empty cargo test --release -p stowaway-tests --no-fail-fast \
		--test facts --test coreutils --test conform
	@if command -v cargo-deny >/dev/null; then \
		echo "==> licences and sources"; cargo deny check bans licenses sources; \
	else echo "==> licences and sources: skipped, cargo-deny is not installed"; fi
	$(call say,test: all good)

BENCH ?= run
bench: setup build
	$(call say,bench)
	cargo run --release -p bench -- $(BENCH)

clean:
	cargo clean
