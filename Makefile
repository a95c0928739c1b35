# Targets: run tour test sim SEED= HOURS= mutants fuzz S= bench chaos lint install clean. `make run`, `make tour` and `make test` install what is missing first.
# Three builds beside each other: release (build/release), debug with ASan and UBSan (build/debug), clang (build/clang).
PREFIX ?= /usr/local
DESTDIR ?=
S ?= 20
SEED ?= 1

STANDARD := -std=gnu17 -D_GNU_SOURCE -Iinclude -Isrc -I. -Itest/unit -g
WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wno-unused-parameter -Wno-sign-conversion
LIBS := -luv -lssl -lcrypto -lzstd -lhttp_parser -ljansson -lpthread

MODE ?= release
ifeq ($(MODE),debug)
CC := gcc
MODE_FLAGS := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(MODE),clang)
CC := clang
MODE_FLAGS := -O2
else ifeq ($(MODE),clang-debug)
CC := clang
MODE_FLAGS := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(MODE),tsan)
CC := gcc
MODE_FLAGS := -O1 -fsanitize=thread -fno-omit-frame-pointer
else
CC := gcc
MODE_FLAGS := -O2 -fno-plt
endif
# Debian's hardening for the shipped binary; the same for all modes, so that warnings are.
FLAGS := $(STANDARD) $(WARN) $(MODE_FLAGS) -fstack-protector-strong $(EXTRA)
OUT := build/$(MODE)
VERSION := $(shell sed -n 's/^.define PARLEY_VERSION "\(.*\)"/\1/p' src/base/version.h)

SOURCES := $(sort $(filter-out src/via/%,$(wildcard src/*/*.c src/*/*/*.c)))
MAIN := src/cli/main.c
CORE_SOURCES := $(filter-out $(MAIN),$(SOURCES))
CORE_OBJECTS := $(CORE_SOURCES:%.c=$(OUT)/%.o)
ARCHIVE := $(OUT)/libparley-core.a
UNIT_TESTS := $(patsubst test/unit/%.c,$(OUT)/test/unit/%,$(sort $(wildcard test/unit/test_*.c)))
SUPPORT_ARCHIVE := $(OUT)/test/unit/support.a
SUPPORT_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard test/unit/support/*.c)))
CHECK_MAIN := sim/check_main.c
SIM_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(sort $(filter-out $(CHECK_MAIN),$(wildcard sim/*.c sim/check/*.c))))
# Checkers over recorded histories know nothing of the simulator: unit tests and build/release/check link them alone.
CHECK_ARCHIVE := $(OUT)/sim/check.a
CHECK_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(sort $(filter-out %/history.c %/oracle.c %/oracle_ops.c %/probe.c,$(wildcard sim/check/*.c))))

.DEFAULT_GOAL := all
.PHONY: run tour test unit unit-binaries script script-binary sim sim-binary check-binary fuzz bench lint format install clean deps
.PHONY: clang-build mutants chaos all libparley client-tests via via-packages
all: build/parley libparley via

build/parley: $(OUT)/parley
	@mkdir -p build && ln -sf $(MODE)/parley build/parley

$(OUT)/parley: $(OUT)/src/cli/main.o $(ARCHIVE)
	$(CC) $(FLAGS) -o $@ $< $(ARCHIVE) $(LIBS)

$(ARCHIVE): $(CORE_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^

$(OUT)/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(FLAGS) -MMD -MP -c -o $@ $<

# Scores are state: no CPU may round a product and a sum in one step.
$(OUT)/src/model/keys/%.o: FLAGS += -ffp-contract=off

# These are in it (.incbin), which -MMD does not see.
$(OUT)/src/protocol/http/page.o: $(wildcard src/protocol/http/page/*)

# Each test takes from the support archive only what it names.
$(SUPPORT_ARCHIVE): $(SUPPORT_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^

$(CHECK_ARCHIVE): $(CHECK_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^

$(OUT)/test/unit/%: $(OUT)/test/unit/%.o $(SUPPORT_ARCHIVE) $(CHECK_ARCHIVE) $(ARCHIVE)
	@$(CC) $(FLAGS) -o $@ $< $(SUPPORT_ARCHIVE) $(CHECK_ARCHIVE) $(ARCHIVE) $(LIBS) -lcmocka

$(OUT)/check: $(OUT)/sim/check_main.o $(CHECK_ARCHIVE) $(ARCHIVE)
	$(CC) $(FLAGS) -o $@ $< $(CHECK_ARCHIVE) $(ARCHIVE) $(LIBS)

$(OUT)/simulator: $(SIM_OBJECTS) $(ARCHIVE)
	$(CC) $(FLAGS) -o $@ $(SIM_OBJECTS) $(ARCHIVE) $(LIBS)

# libparley: position-independent objects of src/client and of what it uses of src/base. Only parley_* leaves either form.
LIB_BASE := alloc assert base64 bytes hash heap prng
LIB_OBJECTS := $(patsubst %.c,$(OUT)/pic/%.o,$(filter-out %/http_client.c,$(sort $(wildcard src/client/*.c))) \
    $(LIB_BASE:%=src/base/%.c))
LIB_LIBS := -lhttp_parser -ljansson -lpthread
EXAMPLES := $(patsubst examples/%.c,$(OUT)/examples/%,$(sort $(wildcard examples/*.c)))

$(OUT)/pic/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(FLAGS) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$(OUT)/libparley.a: $(LIB_OBJECTS)
	@ld -r -o $(OUT)/libparley.o $^ && objcopy --localize-hidden $(OUT)/libparley.o
	@rm -f $@ && ar rcs $@ $(OUT)/libparley.o

$(OUT)/libparley.so.0: $(LIB_OBJECTS)
	$(CC) $(FLAGS) -shared -Wl,-soname,libparley.so.0 $(if $(findstring sanitize,$(FLAGS)),,-Wl,-z,defs) -o $@ $^ $(LIB_LIBS)

# Lock recipes of other systems (src/via): a module each, made when the system's client library is there. The link in build/MODE/via
# is what a URL's scheme is looked up by.
VIA_PKG_redis := hiredis
VIA_PKG_etcd := libcurl
VIA_PKG_memcached := libmemcached
VIA_PKG_postgres := libpq
VIA_PKG_mysql := libmariadb
VIA_LIBS_etcd := -ljansson
VIA_EXTRA_postgres := src/via/table.c
VIA_EXTRA_mysql := src/via/table.c
VIA_ZOOKEEPER_H := $(firstword $(wildcard /usr/include/zookeeper/zookeeper.h /usr/local/include/zookeeper/zookeeper.h))
VIA := $(foreach one,redis etcd memcached postgres mysql,$(if $(shell pkg-config --exists $(VIA_PKG_$(one)) 2>/dev/null && echo yes),$(one))) \
    $(if $(VIA_ZOOKEEPER_H),zookeeper)
VIA_LIBS_zookeeper := -lzookeeper_mt
VIA_MODULES := $(VIA:%=$(OUT)/via/%.so)
# Headers of others are not held to our warnings.
VIA_FLAGS_zookeeper := -DTHREADED
via_cflags = $(if $(VIA_PKG_$(1)),$(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(VIA_PKG_$(1))))) $(VIA_FLAGS_$(1))
via_libs = $(if $(VIA_PKG_$(1)),$(shell pkg-config --libs $(VIA_PKG_$(1)))) $(VIA_LIBS_$(1))

.SECONDEXPANSION:
$(OUT)/via/%.so: src/via/%.c src/via/kit.c $$(VIA_EXTRA_$$*) $(wildcard src/via/*.h) src/client/via.h include/parley.h
	@mkdir -p $(dir $@)
	$(CC) $(FLAGS) -fPIC -fvisibility=hidden $(call via_cflags,$*) -shared -o $@ $(filter %.c,$^) $(call via_libs,$*)
	@$(if $(filter redis,$*),ln -sf redis.so $(dir $@)redlock.so)

via: $(VIA_MODULES)

via-packages:
	@scripts/install_dependencies.sh pkg-config libhiredis-dev libzookeeper-mt-dev libcurl4-openssl-dev libmemcached-dev libpq-dev libmariadb-dev

libparley: $(OUT)/libparley.a $(OUT)/libparley.so.0
	@ln -sf $(MODE)/libparley.a build/libparley.a && ln -sf $(MODE)/libparley.so.0 build/libparley.so.0
	@ln -sf libparley.so.0 build/libparley.so

# Examples are compiled as a user's program is: by the header and the library alone.
$(OUT)/examples/%: examples/%.c examples/ask.h include/parley.h include/parley_via.h $(OUT)/libparley.a
	@mkdir -p $(dir $@)
	$(CC) -std=c17 -D_POSIX_C_SOURCE=200809L $(WARN) $(MODE_FLAGS) -g -Iinclude -o $@ $< $(OUT)/libparley.a $(LIB_LIBS)

$(OUT)/test_client: test/native/test_client.c include/parley.h $(OUT)/libparley.a
	$(CC) $(STANDARD) $(WARN) $(MODE_FLAGS) -o $@ $< $(OUT)/libparley.a $(LIB_LIBS)

$(OUT)/test_via: test/native/test_via.c include/parley.h include/parley_via.h $(OUT)/libparley.a
	$(CC) $(STANDARD) $(WARN) $(MODE_FLAGS) -o $@ $< $(OUT)/libparley.a $(LIB_LIBS)

client-tests: $(OUT)/test_client $(OUT)/test_via $(EXAMPLES) $(VIA_MODULES)

SCRIPT_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard test/script/*.c)))
$(OUT)/script: $(SCRIPT_OBJECTS) $(SUPPORT_ARCHIVE) $(ARCHIVE)
	$(CC) $(FLAGS) -o $@ $(SCRIPT_OBJECTS) $(SUPPORT_ARCHIVE) $(ARCHIVE) $(LIBS) -lcmocka

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
.SECONDARY:

deps:
	@scripts/install_dependencies.sh

run: deps
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley
	@exec build/parley server --redis localhost:6379

# How things usually go wrong, and how they hold here. Last line: N passed, N failed, N skipped.
tour: deps
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley
	@build/parley demo all

unit-binaries: $(UNIT_TESTS)

unit:
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=debug unit-binaries
	@scripts/run_unit_tests.sh build/debug/test/unit

# Unit tests under ASan and UBSan, the simulator's recorded seeds, and the tests that drive the built server.
test:
	@scripts/install_dependencies.sh libcmocka-dev procps openssl
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley
	@$(MAKE) --no-print-directory -j$$(nproc) libparley
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=debug unit-binaries script-binary client-tests
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=tsan client-tests
	@scripts/run_tests.sh

# Transcripts (test/script): REWRITE=1 puts what was seen in place of what was expected; read the diff then.
script-binary: $(OUT)/script

script:
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=debug script-binary
	@build/debug/script $(if $(REWRITE),--rewrite) $(or $(SCRIPTS),$(sort $(wildcard test/script/*.txt)))

sim-binary: $(OUT)/simulator

check-binary: $(OUT)/check

# SEED=n: one seed. HOURS=n: fresh seeds on all cores until docs/proof/sim.jsonl holds so many hours (docs/simulator.md).
sim:
	@$(MAKE) --no-print-directory -j$$(nproc) sim-binary
	@$(OUT)/simulator $(if $(HOURS),--hours $(HOURS),--seed $(SEED)) $(SIM_ARGS)

fuzz: deps
	@scripts/fuzz.sh $(S)

bench:
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley
	@bench/run.sh

# One planted fault at a time (MUTANT=NAME, SECONDS=CPU, QUICK=1: three of them): docs/mutants.md.
mutants:
	@$(MAKE) --no-print-directory -s MODE=release sim-binary
	@MUTANTS_CC='$(CC)' MUTANTS_FLAGS='$(FLAGS)' MUTANTS_LIBS='$(LIBS)' test/mutants/run.py \
	    $(if $(MUTANT),--mutant $(MUTANT)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(QUICK),--quick)

# Real processes under faults, beside ZooKeeper; needs root. CHAOS_ARGS: options of test/chaos/run.py.
chaos:
	@scripts/install_dependencies.sh zookeeper default-jre-headless libzookeeper-mt-dev nftables iproute2 e2fsprogs python3-venv
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley check-binary
	@test/chaos/run.py $(CHAOS_ARGS)

clang-build:
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=clang build/clang/parley

lint:
	@scripts/lint.sh

format:
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

install: build/parley libparley via
	install -D -m 644 include/parley.h $(DESTDIR)$(PREFIX)/include/parley.h
	install -D -m 644 include/parley_via.h $(DESTDIR)$(PREFIX)/include/parley_via.h
	install -d $(DESTDIR)$(PREFIX)/lib/parley/via
	$(if $(VIA_MODULES),cp -a $(VIA_MODULES) $(if $(filter redis,$(VIA)),$(OUT)/via/redlock.so) $(DESTDIR)$(PREFIX)/lib/parley/via/)
	install -D -m 644 $(OUT)/libparley.a $(DESTDIR)$(PREFIX)/lib/libparley.a
	install -D -m 644 $(OUT)/libparley.so.0 $(DESTDIR)$(PREFIX)/lib/libparley.so.0
	ln -sf libparley.so.0 $(DESTDIR)$(PREFIX)/lib/libparley.so
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' packaging/parley.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/parley.pc
	install -D -m 644 packaging/parley.3 $(DESTDIR)$(PREFIX)/share/man/man3/parley.3
	install -D -m 755 $(OUT)/parley $(DESTDIR)$(PREFIX)/bin/parley
	install -D -m 644 packaging/parley.service $(DESTDIR)$(PREFIX)/lib/systemd/system/parley.service
	install -D -m 644 packaging/parley.bash-completion $(DESTDIR)$(PREFIX)/share/bash-completion/completions/parley
	install -D -m 644 packaging/parley.1 $(DESTDIR)$(PREFIX)/share/man/man1/parley.1
	install -D -m 644 packaging/parley.conf $(DESTDIR)$(PREFIX)/share/doc/parley/parley.conf
	install -D -m 644 packaging/_parley $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_parley

clean:
	rm -rf build
