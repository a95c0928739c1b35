#!/bin/sh
# Prints the commit and a hash over all that the simulator is made of (src/ and sim/, as it stands in the work tree): what a figure in
# docs/proof/sim.jsonl was measured with.
cd "$(dirname "$0")/.." || exit 1
tree=$(find src sim -name '*.[ch]' -o -name '*.def' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16)
echo "$(git rev-parse --short=12 HEAD 2>/dev/null || echo none) $tree"
