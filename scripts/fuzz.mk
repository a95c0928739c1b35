# Builds the fuzz harnesses: clang's libFuzzer with ASan and UBSan, objects kept in build/fuzz. Called by scripts/fuzz.sh
# with MODE=fuzz CC=clang MODE_FLAGS=... (the Makefile's own rules compile src/ and test/unit/support/ with these).
include Makefile

HARNESSES := $(patsubst test/fuzz/%.c,$(OUT)/%,$(sort $(wildcard test/fuzz/fuzz_*.c)))
.PHONY: harnesses
harnesses: $(HARNESSES) $(OUT)/seed

$(OUT)/seed: test/fuzz/seed.c
	@mkdir -p $(OUT)
	@$(CC) $(STANDARD) $(WARN) -O1 -o $@ $<

$(OUT)/fuzz_%: $(OUT)/test/fuzz/fuzz_%.o $(SUPPORT_ARCHIVE) $(ARCHIVE)
	@$(CC) $(FLAGS) -fsanitize=fuzzer -o $@ $< $(SUPPORT_ARCHIVE) $(ARCHIVE) $(LIBS) -lcmocka

-include $(patsubst test/fuzz/%.c,$(OUT)/test/fuzz/%.d,$(wildcard test/fuzz/*.c))
