#!/bin/sh
# What this machine allows a server that does nothing: builds and runs bench/floor.c with 64 connections and with one.
set -eu
cd "$(dirname "$0")"
data="${BENCH_DATA:-/tmp/parley-bench}"
mkdir -p "$data"
"${CC:-cc}" -O2 -o "$data/floor" floor.c -pthread
"$data/floor" disk "$data/floor.data"
for connections in 64 1; do
    "$data/floor" echo $connections 2
    for mode in sync commit gather; do "$data/floor" $mode $connections 2 "$data/floor.data"; done
done
rm -f "$data/floor.data"
