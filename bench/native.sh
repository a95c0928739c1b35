#!/bin/sh
# The native operations' speed on one node with fsync, and 100,000 waiters on one lock; JSON lines in bench/results/.
#   bench/native.sh [OUT.jsonl]     (about two minutes; ROUNDS, SECONDS_EACH, WAITERS, PRIORITY change that)
set -eu
cd "$(dirname "$0")"
out="${1:-results/$(date -u +%Y%m%d-%H%M%S)-native.jsonl}"
[ -x "${PARLEY:-../build/parley}" ] || { echo "build/parley is missing: make" >&2; exit 1; }
python3 native.py --rounds "${ROUNDS:-3}" --seconds "${SECONDS_EACH:-3}" --waiters "${WAITERS:-100000}" --out "$out"
echo "$out"
