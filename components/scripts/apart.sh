#!/usr/bin/env bash
# Keeps the services of this host apart. In the network that they share with the proxy, each of them reaches the proxy and
# the world, but no other container. Two things hold this:
# - the kernel passes nothing between two isolated ports of a bridge, of whichever protocol. A container has another port
#   after each start, which is isolated a moment later;
# - the firewall's chain SLIPWAY-APART drops what goes from a port to another one, unless one of them is the proxy's, and
#   what the host itself would bring back to the network that it came from. That holds from a container's first packet, and
#   from the machine's start (firewall.sh).
# Runs on each host as the service slipway-apart.
set -euo pipefail

# What the chain was last made from.
walled=

# wall BRIDGE PORT…: makes the chain for this network, and these ports of the proxy.
wall() {
  local iptables port
  [ "$walled" != "$*" ] || return 0
  mkdir -p /etc/slipway
  echo "$1" >/etc/slipway/apart
  for iptables in iptables ip6tables; do
    "$iptables" -w -n -L SLIPWAY-APART >/dev/null 2>&1 || continue
    {
      printf '%s\n' '*filter' ':SLIPWAY-APART - [0:0]'
      for port in "${@:2}"; do
        printf -- '-A SLIPWAY-APART -m physdev --physdev-is-bridged --physdev-%s %s -j RETURN\n' in "$port" out "$port"
      done
      # Published ports, while the engine restarts (`hold` in engine.sh).
      echo "-A SLIPWAY-APART -i $1 -o $1 -m conntrack --ctstate DNAT -j RETURN"
      echo "-A SLIPWAY-APART -i $1 -o $1 -j DROP"
      echo COMMIT
    } | "$iptables-restore" -w --noflush 2>/dev/null ||
      echo "slipway: $(hostname) cannot make the chain SLIPWAY-APART ($iptables); the isolated ports are all there is" >&2
  done
  walled=$*
}

# separate: isolates all ports of the proxy's network but the proxy's own. It sets only what is otherwise.
separate() {
  local answer pid='' network='' own port index isolated now words=(off on) ports=()
  answer=$(curl -gsS --unix-socket /var/run/docker.sock http://docker/containers/slipway-proxy/json) || return 0
  if [[ $answer =~ \"Pid\":([0-9]+) ]]; then pid=${BASH_REMATCH[1]}; fi
  if [[ ${answer##*'"NetworkSettings":'} =~ \"NetworkID\":\"([0-9a-f]{12}) ]]; then network=${BASH_REMATCH[1]}; fi
  # A host without services has no proxy. While the proxy starts, its port is not known.
  [ "${pid:-0}" != 0 ] && [ -n "$network" ] || return 0
  own=$(nsenter --net="/proc/$pid/ns/net" ip -o link | sed -n 's/^[0-9]*: [^@]*@if\([0-9]*\):.*/\1/p')
  [ -n "$own" ] || return 0
  for port in "/sys/class/net/br-$network/brif/"*; do
    port=${port##*/} isolated=1 now=
    # A container may have ended meanwhile.
    read -r index <"/sys/class/net/$port/ifindex" || continue
    case $'\n'$own$'\n' in *$'\n'"$index"$'\n'*) isolated=0 ports+=("$port") ;; esac
    read -r now <"/sys/class/net/$port/brport/isolated" || true
    [ "$now" = "$isolated" ] || bridge link set dev "$port" isolated "${words[isolated]}" || true
  done 2>/dev/null
  [ "${#ports[@]}" = 0 ] || wall "br-$network" "${ports[@]}"
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
