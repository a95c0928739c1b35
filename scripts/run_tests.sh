#!/bin/bash
# What `make test` runs once everything is built: unit tests and transcripts (ASan and UBSan), the simulator's recorded seeds and a few fresh ones, the
# tests that drive the built binary, and real clients where their runtimes are there (a missing one is a counted skip).
# PARLEY_TEST_INTEROP=off and PARLEY_TEST_VIA=off leave the clients and the locks of other systems out (.ci/run calls them itself, with every runtime required).
# Last line: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.."
passed=0 failed=0 skipped=0

# stage NAME COMMAND...: shows its output; its last "N passed, N failed, N skipped" counts; an exit code without a failure is one
stage() {
    local name=$1 output status line
    shift
    echo "==== $name"
    output=$(mktemp)
    "$@" 2>&1 | tee "$output"
    status=${PIPESTATUS[0]}
    line=$(grep -oE '[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?' "$output" | tail -n 1)
    rm -f "$output"
    local p f s
    p=$(echo "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    f=$(echo "$line" | sed -n 's/.* \([0-9]*\) failed.*/\1/p')
    s=$(echo "$line" | sed -n 's/.* \([0-9]*\) skipped.*/\1/p')
    p=${p:-0} f=${f:-0} s=${s:-0}
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ -z "$line" ] && [ "$status" -eq 0 ]; then f=1; echo "$name printed no totals"; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

stage "unit tests (ASan, UBSan)" scripts/run_unit_tests.sh build/debug/test/unit
stage "transcripts (ASan, UBSan)" build/debug/script test/script/*.txt
make --no-print-directory -s -j"$(nproc)" sim-binary || failed=$((failed + 1))
stage "simulator: every seed that ever failed" build/release/simulator --replay sim/seeds.txt
stage "simulator: fresh seeds" build/release/simulator --seeds 1..8 --seconds 20
stage "command line" test/cli/run.sh
if command -v python3 >/dev/null 2>&1; then
    stage "native operations" test/native/run.py
    stage "libparley (ASan, UBSan, TSan)" test/native/lib.py
    [ "${PARLEY_TEST_VIA:-auto}" = off ] || stage "locks, here and on other systems" test/native/via.py
else
    echo "native operations and libparley: skipped, there is no python3"
    skipped=$((skipped + 2))
fi
if [ "${PARLEY_TEST_INTEROP:-auto}" != off ]; then
    if command -v python3 >/dev/null 2>&1; then
        stage "the page in Chromium" python3 test/page/run.py
        stage "a queue before a database (MariaDB)" test/native/shield.py
    else
        echo "the page in Chromium, a queue before a database: skipped, there is no python3"
        skipped=$((skipped + 2))
    fi
    if command -v python3 >/dev/null 2>&1; then
        stage "real clients" python3 test/interop/run.py
    else
        echo "real clients: skipped, there is no python3"
        skipped=$((skipped + 1))
    fi
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
