#!/bin/bash
# Fuzzes every decoder: scripts/fuzz.sh SECONDS [HARNESS...]; the seconds are for each harness (docs/fuzzing.md).
# Replays test/fuzz/regressions first. New inputs stay in build/fuzz/corpus, findings go to test/fuzz/found.
# Last line: fuzz: N passed, N failed, 0 skipped
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-20}
[ $# -gt 0 ] && shift
scripts/install_dependencies.sh clang libclang-rt-14-dev || exit 1

out=build/fuzz
make --no-print-directory -s -j"$(nproc)" -f scripts/fuzz.mk MODE=fuzz CC=clang EXTRA=-Werror harnesses \
    MODE_FLAGS="-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" || exit 1
export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# inputs FOLDER TARGET: bytes out of a folder's files; *.txt are descriptions
inputs() {
    rm -rf "$2"
    mkdir -p "$2"
    [ -d "$1" ] || return 0
    local file
    for file in "$1"/*; do
        case $file in
        *.txt) "$out/seed" "$file" "$2/$(basename "$file" .txt)" || return 1 ;;
        *) [ -f "$file" ] && cp "$file" "$2/" ;;
        esac
    done
    return 0
}

show() { # what a reader needs first
    grep -aE "runtime error|invariant broken|ERROR: |SUMMARY|Test unit written|^    #[0-9]+ .*(src|test|sim)/" "$log" | head -n 24
}

passed=0 failed=0
for source in test/fuzz/fuzz_*.c; do
    harness=$(basename "$source" .c)
    name=${harness#fuzz_}
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    findings=0
    mkdir -p "$out/corpus/$name" test/fuzz/found
    inputs "test/fuzz/corpus/$name" "$out/seeds/$name" || findings=1
    inputs "test/fuzz/regressions/$name" "$out/regressions/$name" || findings=1
    replayed=0
    for input in "$out/regressions/$name"/*; do
        [ -f "$input" ] || continue
        replayed=$((replayed + 1))
        if ! timeout 60 "$out/$harness" -timeout=20 -rss_limit_mb=2048 "$input" >"$log" 2>&1; then
            findings=$((findings + 1))
            echo "$harness: regression $(basename "$input") is back"
            show
        fi
    done
    words=()
    [ -f "test/fuzz/$name.dict" ] && words=("-dict=test/fuzz/$name.dict")
    if ! timeout $((seconds + 120)) nice -n 10 "$out/$harness" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 \
        -max_len=4096 -print_final_stats=1 -artifact_prefix="test/fuzz/found/$name-" "${words[@]}" "$out/corpus/$name" "$out/seeds/$name" \
        >"$log" 2>&1; then
        findings=$((findings + 1))
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    edges=$(grep -ao 'cov: [0-9]*' "$log" | tail -n 1 | cut -c6-)
    kept=$(find "$out/corpus/$name" -type f | wc -l)
    printf '%-16s %10s executions %6s edges %6s inputs kept %3d regressions %d findings\n' "$harness" "${runs:-0}" "${edges:-0}" \
        "$kept" "$replayed" "$findings"
    if [ "$findings" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        show
    fi
done
rmdir test/fuzz/found 2>/dev/null
echo "fuzz: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
