#!/bin/sh
# `make bench`: measures, and writes docs/performance.md's tables and plot from what was measured.
#   QUICK=1 make bench    three minutes, only to see that it works: one short round, no scenarios; the page goes to BENCH_DATA
set -eu
cd "$(dirname "$0")"
export BENCH_DATA="${BENCH_DATA:-/tmp/parley-bench}"
mkdir -p results "$BENCH_DATA"
if [ -n "${QUICK:-}" ]; then
    export ROUNDS=1 SECONDS_EACH=1 WARM_MAX=4 ONLY=compare BENCH_PAGE="$BENCH_DATA/performance.md"
    cp ../docs/performance.md "$BENCH_PAGE"
    out="$BENCH_DATA/quick.jsonl"
    rm -f "$out"
else
    out="$PWD/results/$(date -u +%Y%m%d-%H%M%S).jsonl"
fi
./zookeeper.sh "$out"
./floor.sh
costs="${out%.jsonl}-costs.md"
python3 costs.py >"$costs" || echo "no costs: perf is missing or may not use tracepoints" >&2
python3 report.py "$out" "$costs"
