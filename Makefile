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
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(CFLAGS) $(WARN) $(HARDEN) $(SANITIZE) -Ilib -MMD -MP
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
PROGRAMS_SRC = $(wildcard tests/programs/*.c)

.PHONY: all programs deps bench-deps demo check model bench lint asan tsan fuzz install clean help format
.DELETE_ON_ERROR:

all: $(BUILD)/libetcdflock.so $(BUILD)/etcdflockd $(BUILD)/etcdflock

$(BUILD)/libetcdflock.so: $(GUEST_OBJ) preload/exports.map
	@echo "  CC  $@"
	@$(CC) -shared $(CFLAGS) $(LDHARDEN) -Wl,-z,defs -Wl,--version-script=preload/exports.map -Wl,-soname,libetcdflock.so -o $@ $(GUEST_OBJ) -ldl

$(BUILD)/etcdflockd: $(CORE_OBJ) $(AGENT_OBJ)
	@echo "  CC  $@"
	@$(CC) $(CFLAGS) $(SANITIZE) $(LDHARDEN) -pie -o $@ $^ $(LIBS)

$(BUILD)/etcdflock: $(CORE_OBJ) $(CLI_OBJ)
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

programs: all
	$(MAKE) -s -C tests/programs BUILD=$(abspath $(BUILD))/tests/programs CC=$(CC)

-include $(GUEST_OBJ:.o=.d) $(CORE_OBJ:.o=.d) $(AGENT_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
