#!/usr/bin/env bash
# Builds the four images under the names that ci/kit-values.yaml of the chart uses.
#
#   DOCKER=docker manifests/docker/images.sh     by the Dockerfiles, release profile
#   KUBE_KIT=DIR manifests/docker/images.sh      without Docker, stripped, loaded on every node of the
#                                                kit's cluster; IMAGE_PROFILE is dev or release
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -n "${DOCKER:-}" ]; then
  "$DOCKER" build -f manifests/docker/control-plane.Dockerfile -t localhost/ambit:dev .
  "$DOCKER" build -f manifests/docker/node-agent.Dockerfile -t localhost/ambit-node-agent:dev .
  "$DOCKER" build -f manifests/docker/cni.Dockerfile -t localhost/ambit-cni:dev .
  "$DOCKER" build -f manifests/docker/waypoint.Dockerfile -t localhost/ambit-waypoint:dev .
  exit
fi
: "${KUBE_KIT:?images: set DOCKER to build with Docker, or KUBE_KIT to the folder of the cluster kit}"

cargo=${CARGO:-cargo}
built=$("$cargo" metadata --format-version 1 --no-deps | grep -o '"target_directory":"[^"]*"' | cut -d'"' -f4)
profile=${IMAGE_PROFILE:-dev}
if [ "$profile" = dev ]; then built=$built/debug; else built=$built/$profile; fi
# The same set of packages as everywhere, so that nothing is built twice.
"$cargo" build --locked --profile "$profile" --workspace --bins
"$cargo" rustc --locked --profile "$profile" -p ambit-cni --bin ambit-cni -- -C target-feature=+crt-static

images=$(mktemp -d)
trap 'rm -rf "$images"' EXIT

# add ROOT PROGRAM [PATH-IN-IMAGE]: the program and the libraries it is linked with.
add() {
  local root=$1 from=$2 to=${3:-$2} library
  install -D "$from" "$root$to"
  # A static program has none.
  for library in $(ldd "$from" 2>/dev/null | grep -o '/[^ ]*' || true); do
    [ -e "$root$library" ] || install -D "$library" "$root$library"
  done
}

# own NAME ROOT PATH-IN-IMAGE: a program of ours, without its debug information.
own() {
  strip -o "$images/$1.stripped" "$built/$1"
  add "$2" "$images/$1.stripped" "$3"
}

root=$images/control-plane
own ambit "$root" /usr/local/bin/ambit
"$KUBE_KIT/kube" image localhost/ambit:dev "$root" \
  --entrypoint '["/usr/local/bin/ambit"]' --cmd '[]' --user 65532:65532

root=$images/waypoint
own ambit-waypoint "$root" /usr/local/bin/ambit-waypoint
"$KUBE_KIT/kube" image localhost/ambit-waypoint:dev "$root" \
  --entrypoint '["/usr/local/bin/ambit-waypoint"]' --cmd '[]' --user 65532:65532

root=$images/node-agent
own ambit-node-agent "$root" /usr/local/bin/ambit-node-agent
for program in nft ip {ip,ip6}tables{,-nft,-legacy}{,-restore,-save}; do
  add "$root" "$(command -v "$program")" "/usr/sbin/$program"
done
# Matches and targets of iptables are libraries of their own.
for folder in /usr/lib/*/xtables; do
  mkdir -p "$root$folder"
  cp -L "$folder"/*.so "$root$folder"
done
mkdir -p "$root/etc"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
"$KUBE_KIT/kube" image localhost/ambit-node-agent:dev "$root" \
  --entrypoint '["/usr/local/bin/ambit-node-agent"]' --cmd '[]'

root=$images/cni
own ambit-cni "$root" /ambit-cni
"$KUBE_KIT/kube" image localhost/ambit-cni:dev "$root" --entrypoint '["/ambit-cni"]' --cmd '[]'
