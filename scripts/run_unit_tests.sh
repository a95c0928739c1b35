#!/bin/sh
# Runs every unit test binary in a folder; prints one line each and, last, the totals as `unit: N passed, N failed, N skipped`.
# Output of a failing binary is shown whole. Exit 1 when anything failed.
set -u
folder=$1
passed=0 failed=0 skipped=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
count() { grep -c "$1" "$output" || true; }
for binary in "$folder"/test_*; do
    [ -x "$binary" ] && [ -f "$binary" ] || continue
    case $binary in *.o | *.d) continue ;; esac
    status=0
    timeout 300 "$binary" >"$output" 2>&1 || status=$?
    ok=$(count '^\[       OK \]')
    bad=$(grep -cE '^\[  (FAILED|ERROR) ? ?\] [a-zA-Z_0-9]+$' "$output" || true)
    skip=$(count '^\[  SKIPPED \] [a-zA-Z_0-9]*$')
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    if [ "$status" -eq 0 ] && [ "$ok" -eq 0 ] && [ "$skip" -eq 0 ]; then
        echo "$binary ran no test" >>"$output"
        bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-44s %4d passed %3d failed %3d skipped\n' "$(basename "$binary")" "$ok" "$bad" "$skip"
    if [ "$bad" -ne 0 ]; then
        echo "---- $binary (exit $status)"
        tail -n 200 "$output"
    fi
done
echo "unit: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
