#!/bin/sh
# Installs the Debian packages that building Parley needs, and only those that are missing.
# Arguments: further packages (tests name theirs). Says what to do where it may not install.
set -eu
packages="gcc make pkg-config libc6-dev libuv1-dev libssl-dev libzstd-dev libhttp-parser-dev libjansson-dev $*"
missing=""
for package in $packages; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -eq 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1; then
    sudo="sudo"
else
    echo "missing packages:$missing" >&2
    echo "install them as root:  apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
