#!/bin/sh
# Lint: (1) floors include only what stands below them, (2) model/, replica/ and consensus/ call nothing that differs between runs or
# machines (by nm on the built objects), (3) clang-format. Exit 1 on any finding; each is printed with its file.
set -u
cd "$(dirname "$0")/.."
findings=0
say() { echo "lint: $*"; findings=$((findings + 1)); }

# (1) folder -> what it may include beside its own folder (docs: ARCHITECTURE.md "Floors")
allowed() {
    case $1 in
    base) echo "" ;;
    io) echo "base" ;;
    consensus) echo "base" ;;
    model) echo "base" ;;
    storage) echo "io base consensus/batch.h" ;; # a batch is the journal's record: the one format that both share
    replica) echo "consensus model base" ;;
    node) echo "replica storage io consensus model base" ;;
    protocol) echo "node model base io/io.h" ;;
    client) echo "base" ;;
    via) echo "client/via.h" ;; # loaded into programs that see of us only parley.h
    server | cli) echo "client server cli protocol node replica storage io consensus model base" ;;
    *) echo "unknown" ;;
    esac
}
for file in $(find src -name '*.c' -o -name '*.h' -o -name '*.def'); do
    folder=$(echo "$file" | cut -d/ -f2)
    may=$(allowed "$folder")
    [ "$may" = unknown ] && { say "$file: folder src/$folder has no floor"; continue; }
    for include in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file"); do
        target=$(echo "$include" | cut -d/ -f1)
        [ "$target" = "$folder" ] && continue
        case "$include" in */*) ;; *) continue ;; esac # generated or local headers
        ok=no
        for one in $may; do
            case $one in
            */*) [ "$include" = "$one" ] && ok=yes ;;
            *) [ "$target" = "$one" ] && ok=yes ;;
            esac
        done
        [ $ok = yes ] || say "$file includes $include: src/$folder may include only: ${may:-nothing}"
    done
done
# A model may not know another model, except leases, which all share.
for file in $(find src/model -mindepth 2 -name '*.[ch]'); do
    own=$(echo "$file" | cut -d/ -f3)
    for include in $(sed -n 's/^#include "model\/\([a-z]*\)\/.*/\1/p' "$file"); do
        [ "$include" = "$own" ] || [ "$include" = lease ] || say "$file includes the model $include"
    done
done

# (2) nondeterminism: undefined symbols of the deterministic rooms
make --no-print-directory -s -j"$(nproc)" build/parley >/dev/null || say "the build failed"
banned='^(time|clock|clock_gettime|gettimeofday|rand|random|drand48|arc4random|getrandom|qsort|bsearch|strcoll|setlocale|localtime|gmtime|strtod|atof|sin|cos|pow|exp|log|sqrt|read|write|open|close|socket|getenv|pthread_.*|uv_.*)$'
for object in $(find build/release/src/model build/release/src/replica build/release/src/consensus -name '*.o'); do
    for symbol in $(nm -u "$object" | awk '{print $2}' | sed 's/@.*//' | grep -E "$banned"); do
        say "$object calls $symbol: models and replicas must not depend on clock, chance, locale or I/O"
    done
done
# Redis's scores are doubles: model/keys may use what IEEE 754 fixes to the bit (+ - * / and comparisons); the functions
# of libm are banned by their symbols above.
if grep -nE '\b(float|double)\b' -r src/model src/replica src/consensus --include='*.[ch]' |
    grep -vE '//.*\b(float|double)\b|^src/model/keys/'; then
    say "floating point in a deterministic room"
fi

# (3) size and format
for file in $(find src sim -name '*.c' -o -name '*.h' 2>/dev/null); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 1000 ] || say "$file has $lines lines: over 1,000 wants a split by meaning"
done
if command -v clang-format >/dev/null 2>&1; then
    for file in $(find src sim test bench include examples -name '*.c' -o -name '*.h' 2>/dev/null); do
        clang-format --dry-run -Werror "$file" >/dev/null 2>&1 || say "$file is not in the project's format (make format)"
    done
else
    echo "lint: clang-format is not installed: format not checked"
fi
[ $findings -eq 0 ] && echo "lint: clean"
[ $findings -eq 0 ]
