#!/bin/sh
# Runs every test of the workspace; what is given is handed on to the tests of all packages.
set -eu

cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    echo "make test: the scenarios are made of network namespaces and need root; nothing was run." >&2
    echo "make test: run it as root, for example: sudo env PATH=\"\$PATH\" make test" >&2
    exit 1
fi

e2e/install-packages.sh --interop
exec "${CARGO:-cargo}" test --workspace "$@"
