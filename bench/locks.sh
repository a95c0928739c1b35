#!/bin/sh
# Locks of Parley, and of the systems that `parley lock --via` knows, beside Curator's recipe on ZooKeeper: alternating rounds on this
# machine and one disk; JSON lines in bench/results/, then docs/locks.md and docs/locks.svg.
#   bench/locks.sh [OUT.jsonl]     (about 10 minutes; ROUNDS, SECONDS_EACH, CLIENTS, ONLY=parley,zookeeper change that)
# Packages: make via-packages names them; Curator: libcurator-recipes-java and a JDK (javac).
set -eu
cd "$(dirname "$0")"
out="${1:-results/$(date -u +%Y%m%d-%H%M%S)-locks.jsonl}"
[ -x "${PARLEY:-../build/parley}" ] || { echo "build/parley is missing: make" >&2; exit 1; }
./locks.py --rounds "${ROUNDS:-3}" --seconds "${SECONDS_EACH:-3}" --clients "${CLIENTS:-100}" ${ONLY:+--only "$ONLY"} --out "$out"
./locks.py --plot "$out"
echo "$out"
