# Targets: run test sim SEED= fuzz S= bench chaos lint install clean. `make run` and `make test` install what is missing first.
# Three builds beside each other: release (build/release), debug with ASan and UBSan (build/debug), clang (build/clang).
PREFIX ?= /usr/local
DESTDIR ?=
S ?= 20
SEED ?= 1

STANDARD := -std=gnu17 -D_GNU_SOURCE -Isrc -I. -Itest/unit -g
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
else
CC := gcc
MODE_FLAGS := -O2 -fno-plt
endif
# Debian's hardening for the shipped binary; the same for all modes, so that warnings are.
FLAGS := $(STANDARD) $(WARN) $(MODE_FLAGS) -fstack-protector-strong $(EXTRA)
OUT := build/$(MODE)

SOURCES := $(sort $(wildcard src/*/*.c src/*/*/*.c))
MAIN := src/cli/main.c
CORE_SOURCES := $(filter-out $(MAIN),$(SOURCES))
CORE_OBJECTS := $(CORE_SOURCES:%.c=$(OUT)/%.o)
ARCHIVE := $(OUT)/libparley-core.a
UNIT_TESTS := $(patsubst test/unit/%.c,$(OUT)/test/unit/%,$(sort $(wildcard test/unit/test_*.c)))
SUPPORT_ARCHIVE := $(OUT)/test/unit/support.a
SUPPORT_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard test/unit/support/*.c)))
SIM_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard sim/*.c sim/check/*.c)))

.DEFAULT_GOAL := build/parley
.PHONY: run test unit unit-binaries sim sim-binary fuzz bench chaos lint format install clean deps clang-build all
all: build/parley

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

# Each test takes from the support archive only what it names.
$(SUPPORT_ARCHIVE): $(SUPPORT_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^

$(OUT)/test/unit/%: $(OUT)/test/unit/%.o $(SUPPORT_ARCHIVE) $(ARCHIVE)
	@$(CC) $(FLAGS) -o $@ $< $(SUPPORT_ARCHIVE) $(ARCHIVE) $(LIBS) -lcmocka

$(OUT)/simulator: $(SIM_OBJECTS) $(ARCHIVE)
	$(CC) $(FLAGS) -o $@ $(SIM_OBJECTS) $(ARCHIVE) $(LIBS)

-include $(CORE_OBJECTS:.o=.d) $(OUT)/src/cli/main.d $(SUPPORT_OBJECTS:.o=.d) $(SIM_OBJECTS:.o=.d) $(UNIT_TESTS:=.d)
.SECONDARY:

deps:
	@scripts/install_dependencies.sh

run: deps
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley
	@exec build/parley server

unit-binaries: $(UNIT_TESTS)

unit:
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=debug unit-binaries
	@scripts/run_unit_tests.sh build/debug/test/unit

# Unit tests under ASan and UBSan, the simulator's recorded seeds, and the tests that drive the built server.
test:
	@scripts/install_dependencies.sh libcmocka-dev procps openssl
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=debug unit-binaries
	@scripts/run_tests.sh

sim-binary: $(OUT)/simulator

sim:
	@$(MAKE) --no-print-directory -j$$(nproc) sim-binary
	@$(OUT)/simulator --seed $(SEED) $(SIM_ARGS)

fuzz: deps
	@scripts/fuzz.sh $(S)

bench:
	@$(MAKE) --no-print-directory -j$$(nproc) build/parley
	@bench/run.sh

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

install: build/parley
	install -D -m 755 $(OUT)/parley $(DESTDIR)$(PREFIX)/bin/parley
	install -D -m 644 packaging/parley.service $(DESTDIR)$(PREFIX)/lib/systemd/system/parley.service
	install -D -m 644 packaging/parley.bash-completion $(DESTDIR)$(PREFIX)/share/bash-completion/completions/parley
	install -D -m 644 packaging/parley.1 $(DESTDIR)$(PREFIX)/share/man/man1/parley.1
	install -D -m 644 packaging/parley.conf $(DESTDIR)$(PREFIX)/share/doc/parley/parley.conf
	install -D -m 644 packaging/_parley $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_parley

clean:
	rm -rf build
