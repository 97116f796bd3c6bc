#!/usr/bin/env bash
# Keeps the services of this host apart. In the network that they share with the proxy, each of them reaches the proxy and
# the world, but no other container: the kernel passes nothing between two isolated ports of a bridge.
# Runs on each host as the service slipway-apart. A container has another port after each start.
set -euo pipefail

# separate: isolates all ports of the proxy's network but the proxy's own.
separate() {
  local pid='' network='' own port index isolated
  read -r pid network < <(docker inspect slipway-proxy --format \
    '{{ .State.Pid }}{{ range .NetworkSettings.Networks }} {{ slice .NetworkID 0 12 }}{{ end }}' 2>/dev/null) || true
  # A host without services has no proxy. While the proxy starts, its port is not known.
  [ "${pid:-0}" != 0 ] && [ -n "$network" ] || return 0
  own=$(nsenter --net="/proc/$pid/ns/net" ip -o link | sed -n 's/^[0-9]*: [^@]*@if\([0-9]*\):.*/\1/p')
  [ -n "$own" ] || return 0
  for port in "/sys/class/net/br-$network/brif/"*; do
    port=${port##*/} isolated=on
    # A container may have ended meanwhile.
    read -r index <"/sys/class/net/$port/ifindex" || continue
    if grep -qx "$index" <<<"$own"; then isolated=off; fi
    bridge link set dev "$port" isolated "$isolated" || true
  done 2>/dev/null
}

main() {
  local since
  command -v bridge >/dev/null || {
    echo "slipway: $(hostname) lacks the command bridge of iproute2" >&2
    exit 1
  }
  since=$(date +%s)
  separate
  # A network tells of a container before the container's process starts.
  curl -sSN --unix-socket /var/run/docker.sock --get http://docker/events --data "since=$since" \
    --data-urlencode 'filters={"type":["container","network"],"event":["start","connect"]}' |
    while read -r _; do separate; done
}

main </dev/null
