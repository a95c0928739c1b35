#!/bin/sh
# `make bench`: measures, and writes docs/performance.md's tables and plot from what was measured.
set -eu
cd "$(dirname "$0")"
out="results/$(date -u +%Y%m%d-%H%M%S).jsonl"
./zookeeper.sh "$out"
costs="${out%.jsonl}-costs.md"
python3 costs.py >"$costs" || echo "no costs: perf is missing or may not use tracepoints" >&2
python3 report.py "$out" "$costs"
