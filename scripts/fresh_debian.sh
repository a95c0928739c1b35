#!/bin/bash
# Shows that `make run` and `make test` work on a fresh Debian 12: debootstraps a minimal root file system, clones this repository into it, and
# runs both inside (chroot in a network and mount namespace of its own would lack the package mirror, so the network is shared).
#   scripts/fresh_debian.sh [FOLDER]     needs root and debootstrap; FOLDER is kept and used again when it exists
# Last line: fresh: N passed, N failed, 0 skipped.
set -u
root=${1:-/tmp/parley-fresh-debian}
repo=$(cd "$(dirname "$0")/.." && pwd)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
passed=0 failed=0
say() { if [ "$1" -eq 0 ]; then passed=$((passed + 1)) && echo "ok: $2"; else failed=$((failed + 1)) && echo "FAILED: $2"; fi; }

[ -x "$root/usr/bin/apt-get" ] || debootstrap --variant=minbase bookworm "$root" "$mirror" || exit 1
cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null
for conf in /etc/apt/apt.conf.d/*registry*; do [ -e "$conf" ] && cp "$conf" "$root/etc/apt/apt.conf.d/"; done
rm -rf "$root/root/parley"
git clone -q "$repo" "$root/root/parley" || exit 1
inside() { unshare --mount --pid --fork --mount-proc="$root/proc" chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "$1"; }
mkdir -p "$root/dev/shm"
# make and git are what a person has who cloned a repository and types make
inside 'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq --no-install-recommends make git >/dev/null' || exit 1

inside 'cd /root/parley && (make run >/tmp/run.log 2>&1 & echo $! >/tmp/run.pid); for i in $(seq 1 3000); do grep -q "^ready" /tmp/run.log && break; sleep 0.1; done; grep -q "^ready" /tmp/run.log && build/parley zk create /fresh it-works && build/parley zk get /fresh | grep -q it-works; code=$?; tail -n 12 /tmp/run.log; pkill parley 2>/dev/null || kill $(pidof parley); exit $code'
say $? "make run serves"
inside 'cd /root/parley && make test 2>&1 | tail -n 40 && exit ${PIPESTATUS[0]}'
say $? "make test passes"
echo "fresh: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
