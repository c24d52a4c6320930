# Reboots a node of the cluster kit, as far as its programs can tell: every process but its pid 1 and
# kube-proxy ends at once, what a boot empties is empty, and then containerd and the kubelet start
# as they were started before.
set -eu

only() { # the one process whose first word ends so
  for at in /proc/[0-9]*; do
    case $(tr '\0' '\n' < "$at/cmdline" 2>/dev/null | head -n 1) in
      "$1" | */"$1") echo "${at#/proc/}"; return ;;
    esac
  done
  echo "no $1 runs on this node" >&2
  exit 1
}

keep() { # how it was started
  cp "/proc/$2/cmdline" "$kept/$1.words"
  cp "/proc/$2/environ" "$kept/$1.variables"
  readlink "/proc/$2/fd/1" > "$kept/$1.log"
}

start() {
  log=$(cat "$kept/$1.log")
  tr '\0' '\n' < "$kept/$1.variables" > "$kept/$1.lines"
  (
    while IFS= read -r line; do export "$line" 2>/dev/null || true; done < "$kept/$1.lines"
    xargs -0 setsid < "$kept/$1.words" >> "$log" 2>&1 &
  )
}

kept=$(mktemp -d)
kubelet=$(only kubelet)
containerd=$(only containerd)
keep kubelet "$kubelet"
keep containerd "$containerd"
configuration=$(tr '\0' '\n' < "/proc/$containerd/cmdline" | sed -n '/^-c$/{n;p;}')
state=$(sed -n 's/^state = "\(.*\)"/\1/p' "$configuration")
address=$(sed -n 's/^ *address = "\(.*\)"/\1/p' "$configuration")

kill -KILL "$kubelet" "$containerd"
for at in /proc/[0-9]*; do
  pid=${at#/proc/}
  case $(tr '\0' '\n' < "$at/cmdline" 2>/dev/null | head -n 1) in
    *containerd-shim*) kill -KILL "$pid" 2>/dev/null || true ;;
  esac
  # A container has a mount namespace of its own.
  space=$(readlink "$at/ns/mnt" 2>/dev/null) || continue
  [ "$space" = "$(readlink /proc/1/ns/mnt)" ] || kill -KILL "$pid" 2>/dev/null || true
done

# What is below a folder is mounted after it.
awk '{print $2}' /proc/mounts | grep -E "^($state|/run/netns|/var/lib/kubelet/pods)/" |
  sort -r | while read -r place; do umount -l "$place"; done
rm -rf "${state:?}"/* /run/netns/* /run/ambit /run/ambit-state /run/containerd
for link in $(ip -o link show type veth master cni0 | sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
  # It goes by itself with the namespace of its other end.
  ip link delete "$link" 2>/dev/null || [ ! -e "/sys/class/net/$link" ]
done
ip link delete cni0 2>/dev/null || true
find "$(dirname "$state")/cni/ipam" -type f -delete 2>/dev/null || true

start containerd
for _ in $(seq 100); do ctr -a "$address" version > /dev/null 2>&1 && break; sleep 0.1; done
start kubelet
rm -rf "$kept"
