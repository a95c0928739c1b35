#!/bin/sh
# Parley beside Debian's ZooKeeper 3.8: alternating rounds on this machine and one disk, then the scenarios; the results
# are JSON lines in bench/results/. Packages: zookeeper, a Java runtime, python3.
#   bench/zookeeper.sh [OUT.jsonl]     (about 12 minutes; ROUNDS, SECONDS_EACH, WARM_MAX, ONLY=compare|scenarios change that)
set -eu
cd "$(dirname "$0")"
out="${1:-results/$(date -u +%Y%m%d-%H%M%S).jsonl}"
[ -x "${PARLEY:-../build/parley}" ] || { echo "build/parley is missing: make" >&2; exit 1; }
[ -r "${ZOOKEEPER_JAR:-/usr/share/java/zookeeper.jar}" ] || { echo "install the package zookeeper to compare with" >&2; exit 1; }
[ "${ONLY:-compare}" = compare ] && python3 compare.py --rounds "${ROUNDS:-3}" --warm-max "${WARM_MAX:-30}" --seconds "${SECONDS_EACH:-3}" --out "$out"
[ "${ONLY:-scenarios}" = scenarios ] && python3 scenarios.py --out "$out"
echo "$out"
