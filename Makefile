# libetcdflock: locks of unmodified programs across hosts. `make help` lists the targets.
SHELL   = /bin/bash
ifeq ($(origin CC),default)
CC      = gcc
endif
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build

WARN    = -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla
HARDEN  = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIC -fno-strict-aliasing
CFLAGS  ?= -O2 -g
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(CFLAGS) $(WARN) $(HARDEN) $(SANITIZE) -Ilib -MMD -MP -DETCDFLOCK_LIBDIR='"$(PREFIX)/lib"'
LDHARDEN = -Wl,-z,relro,-z,now,-z,noexecstack
# The library runs inside programs that know nothing of a sanitizer's run-time library: only what traps goes in.
GUEST_CFLAGS = -std=c11 -D_GNU_SOURCE $(CFLAGS) $(WARN) $(HARDEN) $(GUEST_SANITIZE) -fvisibility=hidden -ftls-model=initial-exec \
	-Ilib -Ipreload -MMD -MP -DETCDFLOCK_SBINDIR='"$(PREFIX)/sbin"'

GUEST_SRC = $(wildcard preload/*.c) $(wildcard lib/wire/*.c) lib/conf/scan.c lib/conf/glob.c
CONF_SRC  = $(wildcard lib/conf/*.c)
WIRE_SRC  = $(wildcard lib/wire/*.c)
CORE_SRC  = $(wildcard lib/etcd/*.c) $(wildcard lib/lock/*.c) $(CONF_SRC) $(WIRE_SRC) lib/agent/loop.c
AGENT_SRC = $(filter-out lib/agent/loop.c,$(wildcard lib/agent/*.c))
CLI_SRC   = $(wildcard lib/cli/*.c)

GUEST_OBJ = $(GUEST_SRC:%.c=$(BUILD)/guest/%.o)
CORE_OBJ  = $(CORE_SRC:%.c=$(BUILD)/obj/%.o)
AGENT_OBJ = $(AGENT_SRC:%.c=$(BUILD)/obj/%.o)
CLI_OBJ   = $(CLI_SRC:%.c=$(BUILD)/obj/%.o)
LIBS      = -lcurl -lcjson -lpthread

UNIT_SRC  = $(wildcard tests/unit/test_*.c)
UNIT      = $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)

.PHONY: all unit tests deps lint-deps bench-deps demo check model bench lint asan tsan fuzz install clean help format
.DELETE_ON_ERROR:

all: $(BUILD)/libetcdflock.so $(BUILD)/etcdflockd $(BUILD)/etcdflock

$(BUILD)/libetcdflock.so: $(GUEST_OBJ) preload/exports.map
	@echo "  CC  $@"
	@$(CC) -shared $(CFLAGS) $(LDHARDEN) -Wl,-z,defs -Wl,--version-script=preload/exports.map -Wl,-soname,libetcdflock.so -o $@ $(GUEST_OBJ) -ldl

# In a build with sanitizers: reports go to files beside it, as an agent has no stderr.
ifneq ($(SANITIZE),)
SANITIZER_OBJ = $(BUILD)/obj/tests/lib/sanitizers.o
$(SANITIZER_OBJ): ALL_CFLAGS += -Wno-missing-prototypes -DREPORTS='"$(abspath $(BUILD))/report"'
endif

$(BUILD)/etcdflockd: $(CORE_OBJ) $(AGENT_OBJ) $(SANITIZER_OBJ)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(SANITIZE) $(LDHARDEN) -pie -o $@ $^ $(LIBS)

$(BUILD)/etcdflock: $(CORE_OBJ) $(CLI_OBJ) $(SANITIZER_OBJ)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(SANITIZE) $(LDHARDEN) -pie -o $@ $^ $(LIBS)

$(BUILD)/guest/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(GUEST_CFLAGS) -c $< -o $@

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(ALL_CFLAGS) -c $< -o $@

# Tests of pure parts link what they test and nothing of the agent.
$(BUILD)/tests/unit/%: tests/unit/%.c $(CORE_OBJ)
	@mkdir -p $(@D)
	@echo "  CC  $@"
	@$(CC) $(ALL_CFLAGS) -Itests/unit $(LDFLAGS) -pie -o $@ $< $(CORE_OBJ) $(LIBS)

-include $(GUEST_OBJ:.o=.d) $(CORE_OBJ:.o=.d) $(AGENT_OBJ:.o=.d) $(CLI_OBJ:.o=.d)

# ---- what is needed: Debian's packages, only those that are missing ----

DEPS      = gcc make pkg-config libcurl4-openssl-dev libcjson-dev etcd-server etcd-client shunit2 python3 util-linux procps \
	curl jq perl php-cli ruby dash libcap2-bin binutils
LINT_DEPS = clang clang-tidy clang-format shellcheck libclang-rt-14-dev
missing   = $(shell for p in $(1); do dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | grep -q '^install ok installed$$' || echo $$p; done)
SUDO      = $(shell [ "$$(id -u)" = 0 ] || echo sudo)

define install_missing
	@missing="$(call missing,$(1))"; if [ -n "$$missing" ]; then \
		echo "installing: $$missing"; log=$$(mktemp); \
		{ $(SUDO) apt-get -qq update && \
		  $(SUDO) env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -y --no-install-recommends install $$missing; } >$$log 2>&1 \
		|| { cat $$log; rm -f $$log; exit 1; }; rm -f $$log; fi
endef

deps:
	$(call install_missing,$(DEPS))

lint-deps:
	$(call install_missing,$(LINT_DEPS))

bench-deps: deps
	$(call install_missing,python3-etcd3)

# ---- tests ----

$(UNIT): ALL_CFLAGS += -Wno-missing-prototypes
unit: $(UNIT)

tests: all unit

check: deps
	@$(MAKE) -s all unit
	@tests/run

model:
	tests/model/run --bound large

demo: deps
	@$(MAKE) -s all
	@scripts/demo

bench: bench-deps
	@$(MAKE) -s all
	@scripts/bench

# The same suites over programs that were built with sanitizers. The library itself, which lives in programs
# without a sanitizer's run-time, traps on undefined behaviour instead.
ASAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
UBSAN_TRAP = -fsanitize=undefined -fsanitize-undefined-trap-on-error
TSAN_FLAGS = -fsanitize=thread -fno-omit-frame-pointer

# $(1): build directory. Fails on a report even where every test passed.
define run_sanitized
	@rm -f $(1)/report.*; TEST_BUILD=$(CURDIR)/$(1) tests/run $(SUITES); status=$$?; \
	if compgen -G "$(1)/report.*" >/dev/null; then cat $(1)/report.*; echo "sanitizer reports: see above"; exit 1; fi; exit $$status
endef

asan: deps
	@$(MAKE) -s BUILD=build-asan CFLAGS="-O1 -g" SANITIZE="$(ASAN_FLAGS)" GUEST_SANITIZE="$(UBSAN_TRAP)" all unit
	$(call run_sanitized,build-asan)

tsan: deps
	@$(MAKE) -s BUILD=build-tsan CFLAGS="-O1 -g" SANITIZE="$(TSAN_FLAGS)" all unit
	$(call run_sanitized,build-tsan)

FUZZ_SECONDS ?= 60
fuzz: lint-deps
	@scripts/fuzz $(FUZZ_SECONDS)

# ---- style ----

C_FILES  = $(shell git ls-files '*.c' '*.h')
SH_FILES = $(shell git ls-files | while read -r f; do head -c 64 "$$f" 2>/dev/null | head -n 1 | grep -aqE '^\#!.*(bash|/sh)|shellcheck shell' && echo "$$f"; done)

lint: lint-deps
	@clang-format --dry-run -Werror $(C_FILES)
	@$(MAKE) -s BUILD=build-clang CC=clang all
	@clang-tidy --quiet $(filter preload/%.c lib/%.c,$(C_FILES)) -- -std=c11 -D_GNU_SOURCE -Ilib -Ipreload 2>/dev/null
	@shellcheck -x $(SH_FILES)
	@echo lint: clean

format:
	clang-format -i $(C_FILES)

# ---- installation ----

install: all
	install -d $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/etcdflock
	install -m 644 $(BUILD)/libetcdflock.so $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/etcdflockd $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 $(BUILD)/etcdflock $(DESTDIR)$(PREFIX)/bin/
	install -m 644 config/etcdflock.conf $(DESTDIR)$(PREFIX)/share/etcdflock/etcdflock.conf.example
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true

clean:
	rm -rf build build-asan build-tsan build-clang build-fuzz

help:
	@echo "make            build/libetcdflock.so, build/etcdflockd, build/etcdflock"
	@echo "make demo       two hosts on this machine lock one file through a private etcd"
	@echo "make check      all tests (make asan, make tsan: the same with sanitizers; SUITES='unit fault' for some)"
	@echo "make model      the exhaustive models at their larger bound"
	@echo "make bench      measurements against the kernel, etcd and other tools"
	@echo "make fuzz       a minute for each parser (FUZZ_SECONDS=60)"
	@echo "make lint       formatting, warnings of clang, clang-tidy, shellcheck"
	@echo "make deps       Debian packages that are missing (bench-deps, lint-deps: for those)"
	@echo "make install    PREFIX=/usr/local DESTDIR="
