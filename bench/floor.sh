#!/bin/sh
# What this machine allows a server that does nothing: builds and runs bench/floor.c with 16 times 16 requests under
# way, with 64 connections of one, and with one.
set -eu
cd "$(dirname "$0")"
data="${BENCH_DATA:-/tmp/parley-bench}"
mkdir -p "$data"
"${CC:-cc}" -O2 -o "$data/floor" floor.c -pthread
"$data/floor" disk "$data/floor.data"
for connections in 16x16 64 1; do
    echo "$connections:"
    "$data/floor" echo $connections 2
    for mode in sync commit gather; do "$data/floor" $mode $connections 2 "$data/floor.data"; done
done
rm -f "$data/floor.data"
