#!/bin/bash
# The simulator's two claims about itself. (1) A seed gives the same run to the byte, twice and in every build: gcc, clang, and both with
# ASan and UBSan. (2) It runs the production objects: what it links of src/ is build/MODE/libparley-core.a, the archive of build/MODE/parley,
# whole and not replaced.   scripts/sim_trace.sh [SEED...]; MODES="release clang" builds fewer, SECONDS_EACH is simulated time.
# Last line: N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/.."
seeds=("${@:-}")
[ -n "${seeds[0]}" ] || seeds=(1 2 3 4)
modes=(${MODES:-release clang debug clang-debug})
seconds=${SECONDS_EACH:-30}
passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok      $*"; }
bad() { failed=$((failed + 1)); echo "FAILED  $*"; }

for mode in "${modes[@]}"; do
    make --no-print-directory -s -j"$(nproc)" MODE="$mode" sim-binary "build/$mode/parley" || { bad "$mode does not build"; continue; }
done

trace() { # mode, seed: its hash
    "build/$1/simulator" --seed "$2" --seconds "$seconds" --shrink-seconds 0 | sed -n 's/.* trace=\([0-9a-f]*\) .*/\1/p'
}
for seed in "${seeds[@]}"; do
    want=$(trace "${modes[0]}" "$seed")
    [ -n "$want" ] || { bad "seed $seed gives no trace in ${modes[0]}"; continue; }
    for mode in "${modes[@]}"; do
        for run in 1 2; do
            got=$(trace "$mode" "$seed")
            if [ "$got" = "$want" ]; then ok "seed $seed, $mode, run $run: $got"; else bad "seed $seed, $mode, run $run: ${got:-none} instead of $want"; fi
        done
    done
done

for mode in "${modes[@]}"; do
    [ -x "build/$mode/simulator" ] || continue
    objects=$(find "build/$mode/src" -name '*.o' ! -path '*/cli/main.o' | wc -l)
    members=$(ar t "build/$mode/libparley-core.a" | wc -l)
    # Defined by the simulator's own objects and by the archive: such a symbol would replace a production one.
    ours=$(find "build/$mode/sim" -name '*.o' -exec nm --defined-only -g {} + | awk 'NF == 3 {print $3}' | grep -v '^__\|^_GLOBAL\|^asan\|^DW.ref' | sort -u)
    theirs=$(nm --defined-only -g "build/$mode/libparley-core.a" 2>/dev/null | awk 'NF == 3 {print $3}' | grep -v '^__\|^_GLOBAL\|^asan\|^DW.ref' | sort -u)
    both=$(comm -12 <(echo "$ours") <(echo "$theirs"))
    if [ -z "$both" ]; then ok "$mode: nothing of the archive is replaced ($members objects)"; else bad "$mode: sim/ replaces $both"; fi
    # The same machine code in both programs: each function of the consensus, replica, models, node, storage and protocol that the simulator
    # holds comes from the archive's one object.
    wanted=0 missing=""
    for symbol in raft_step core_applied machine_apply lease_each tree_write_set node_start journal_append snapshot_writer_end zookeeper_protocol; do
        grep -qx "$symbol" <<<"$theirs" || continue
        wanted=$((wanted + 1))
        nm "build/$mode/simulator" | grep -q " [TDRB] $symbol\$" || missing="$missing $symbol"
    done
    if [ "$wanted" -ge 7 ] && [ -z "$missing" ]; then ok "$mode: raft, replica, models, node, storage and protocol are the archive's"; else bad "$mode: not linked from the archive:$missing ($wanted known)"; fi
    # sim/ compiles no source of src/.
    if grep -rnE '#include "src/|#include ".*\.c"' sim >/dev/null; then bad "$mode: sim/ includes a production source"; else ok "$mode: sim/ compiles no source of src/ ($objects objects there)"; fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
