# SPDX-License-Identifier: GPL-2.0-only
# The front door. Each target prints the commands that it wraps; the work is done by meson
# (meson.build), Kbuild (through tools/build_kernel.py) and pytest.

KERNEL  ?=
PROFILE ?= defconfig
PYTHON  ?= python3

# What `make test` builds and tests, as KERNEL-PROFILE; with KERNEL given only that kernel.
TEST_BUILDS  ?= $(if $(KERNEL),$(KERNEL_GIVEN)-defconfig $(KERNEL_GIVEN)-lean,\
	6.12-defconfig 6.12-lean 6.12-debug 7.3-defconfig 7.3-lean)
# What `make wheel` puts into the wheel.
WHEEL_BUILDS ?= 6.12-defconfig

DEMO_ARGS   ?=
PYTEST_ARGS ?=
BENCH_ARGS  ?= all
FIGURES_ARGS ?=

ROOT := $(CURDIR)
VENV := $(ROOT)/.venv
export PATH := $(VENV)/bin:$(PATH)

# A path is made absolute, since the commands below run in other folders.
KERNEL_GIVEN = $(if $(findstring /,$(KERNEL))$(wildcard $(KERNEL)/Kbuild),$(abspath $(KERNEL)),$(KERNEL))
DEFAULT_SERIES := $(shell sed -n 's/^default = "\(.*\)"/\1/p' kernel.lock.toml)
# A path's id is asked for only inside recipes, when python3 is sure to be there.
KERNEL_ID = $(if $(findstring /,$(KERNEL_GIVEN)),$(shell \
	$(PYTHON) tools/kernel_source.py --id $(KERNEL_GIVEN)),$(or $(KERNEL),$(DEFAULT_SERIES)))
BUILD = build/$(KERNEL_ID)-$(PROFILE)
# The name of a build folder for one word of TEST_BUILDS.
build_name = $(if $(findstring /,$(1)),$(shell build='$(1)'; echo \
	"$$($(PYTHON) tools/kernel_source.py --id "$${build%-*}")-$${build##*-}"),$(1))
C_FILES = $(shell find arch_lib host abi examples benchmarks tests -name '*.[ch]')

.DEFAULT_GOAL := help
.PHONY: help demo test liblinux.so host dpdk bench figures lint fmt wheel check-aarch64 update-lock clean \
	bootstrap test-kernels

help: ## show this list
	@echo 'usage: make TARGET [KERNEL=6.12|7.3|/path/to/linux] [PROFILE=defconfig|lean|debug]'
	@awk -F ':.*## ' '/^[a-z][a-z.0-9-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: host liblinux.so ## set up everything and run the main job (DEMO_ARGS=)
	tools/bootstrap.sh demo
	python -m pylibos demo $(DEMO_ARGS)

test: dpdk test-kernels ## run all tests on all kernels and profiles (PYTEST_ARGS=)
	tools/bootstrap.sh demo test
	PYLIBOS_BUILDS="$(strip $(foreach build,$(TEST_BUILDS),$(call build_name,$(build))))" \
		python -m pytest -n auto $(PYTEST_ARGS)

liblinux.so: bootstrap ## build the library, into build/KERNEL-PROFILE/
	@test -f $(BUILD)/build.ninja || { set -x; meson setup $(BUILD) -Dbuild_host=false \
		-Dkernel=$(or $(KERNEL_GIVEN),$(DEFAULT_SERIES)) -Dprofile=$(PROFILE) >/dev/null; }
	ninja -C $(BUILD) --quiet

test-kernels: bootstrap
	@for build in $(TEST_BUILDS); do \
		$(MAKE) --no-print-directory liblinux.so \
			KERNEL=$${build%-*} PROFILE=$${build##*-} || exit; \
	done

host: bootstrap ## build the host library and the examples in C, into build/host/
	@test -f build/host/build.ninja || { set -x; meson setup build/host -Dbuild_kernel=false \
		>/dev/null; }
	ninja -C build/host --quiet

dpdk: host ## install DPDK and build the DPDK device, libpylibos_dpdk.so
	tools/bootstrap.sh dpdk
	@test -f build/host/host/dpdk/libpylibos_dpdk.so || { set -x; \
		meson configure build/host -Ddpdk=enabled >/dev/null; }
	ninja -C build/host --quiet

bench: host liblinux.so ## measure, each figure against native (BENCH_ARGS=NAME --json FILE)
	$(MAKE) --no-print-directory liblinux.so PROFILE=lean
	python -m benchmarks $(BENCH_ARGS)

figures: host liblinux.so ## measure the paper's figures again, and draw them (FIGURES_ARGS=--quick)
	tools/bootstrap.sh demo
	$(MAKE) --no-print-directory liblinux.so PROFILE=lean
	python -m benchmarks.paper $(FIGURES_ARGS)

lint: bootstrap ## check style and types, changing nothing
	ruff check .
	ruff format --check .
	mypy --strict pylibos
	mypy --strict tools
	clang-format --dry-run -Werror $(C_FILES)

fmt: bootstrap ## format all files
	ruff check --fix --select I .
	ruff format .
	clang-format -i $(C_FILES)

wheel: bootstrap ## build a wheel with the libraries of WHEEL_BUILDS inside, into dist/
	$(MAKE) --no-print-directory test-kernels TEST_BUILDS="$(WHEEL_BUILDS)"
	pip wheel . --no-build-isolation --no-deps --wheel-dir dist \
		--config-settings=setup-args=-Dbuild_kernel=false \
		$(WHEEL_BUILDS:%=--config-settings=setup-args=-Dprebuilt=$(ROOT)/build/%)

check-aarch64: ## cross-build for aarch64 and boot under qemu-user
	tools/bootstrap.sh aarch64
	@test -f build/aarch64-host/build.ninja || { set -x; meson setup build/aarch64-host \
		--cross-file tools/aarch64.cross -Dbuild_kernel=false >/dev/null; }
	ninja -C build/aarch64-host --quiet
	@test -f build/aarch64-lean/build.ninja || { set -x; meson setup build/aarch64-lean \
		--cross-file tools/aarch64.cross -Dbuild_host=false -Dprofile=lean \
		-Dkernel=$(or $(KERNEL_GIVEN),$(DEFAULT_SERIES)) >/dev/null; }
	ninja -C build/aarch64-lean --quiet
	qemu-aarch64 -L /usr/aarch64-linux-gnu build/aarch64-host/examples/hello \
		build/aarch64-lean/liblinux.so

update-lock: bootstrap ## pin the newest kernel packages (KERNEL=SERIES for one)
	$(PYTHON) tools/kernel_source.py --update-lock $(KERNEL)

clean: ## remove all that was built; .venv and the caches stay
	rm -rf build dist

bootstrap:
	@PYTHON=$(PYTHON) tools/bootstrap.sh
