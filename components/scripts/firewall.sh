#!/usr/bin/env bash
# Closes this host and the stack's other hosts to containers and build steps, as far as they need not reach them. On each
# host the service slipway-firewall runs it before Docker Engine starts.
#
#   firewall [PORTS=ADDRESS…]    addresses or networks (IPv4) of the stack's other hosts, each with the ports that
#                                containers may reach there: separated by commas, or none; of TCP, or with /udp behind.
#                                Without an address: this host's.
#
# Ports 80 and 443 are open everywhere, since the services are public there. Docker Engine keeps what is in the chain
# DOCKER-USER, and puts that chain first, at each start.
set -euo pipefail

# What the cloud tells a machine about itself, with the machine's keys: for IPv4, and on AWS for IPv6.
metadata=169.254.169.254
metadata_ipv6=fd00:ec2::254
# The bridge of the services' network, as apart.sh has found it.
apart=/etc/slipway/apart

# refused IPTABLES: how a packet is refused, by what the kernel has.
refused() { if [ "$1" = ip6tables ]; then echo "REJECT --reject-with icmp6-port-unreachable"; else echo "REJECT --reject-with icmp-port-unreachable"; fi; }

# open CHAIN PORTS [ADDRESS]
open() {
  local port protocol
  for port in 80 443 ${2//,/ }; do
    case "$port" in */udp) protocol=udp ;; *) protocol=tcp ;; esac
    echo "-A $1 ${3:+-d $3 }-p $protocol -m $protocol --dport ${port%/udp} -j RETURN"
  done
}

# separate IPTABLES: the chain by which apart.sh keeps services apart. It is made with the machine's start, when none of them
# reaches another one yet; later it is for apart.sh, which knows the proxy's ports.
separate() {
  local bridge
  "$1" -w -N SLIPWAY-APART 2>/dev/null || return 0
  [ -e "$apart" ] || return 0
  read -r bridge <"$apart"
  "$1" -w -A SLIPWAY-APART -i "$bridge" -o "$bridge" -j DROP
}

# uplinks: the bridges by which this host itself is in its network.
uplinks() { ip -o route show default | sed -n 's/.* dev \(br-[^ ]*\).*/\1/p' | sort -u; }

# rules IPTABLES REFUSAL PORTS=ADDRESS…
rules() {
  local ipv6=false refusal=$2 chain uplink bridge host
  [ "$1" = iptables ] || ipv6=true
  echo '*filter'
  for chain in SLIPWAY-INPUT SLIPWAY-FORWARD SLIPWAY-HOST SLIPWAY-OTHERS; do echo ":$chain - [0:0]"; done
  echo "-A SLIPWAY-FORWARD -j SLIPWAY-APART"
  for chain in INPUT:HOST FORWARD:OTHERS; do
    # A machine may itself be in its network by a bridge.
    for uplink in $(uplinks); do
      echo "-A SLIPWAY-${chain%:*} -i $uplink -j RETURN"
    done
    for bridge in docker0 br-+; do echo "-A SLIPWAY-${chain%:*} -i $bridge -g SLIPWAY-${chain#*:}"; done
  done
  # What comes from elsewhere reaches a container by a published port only, whose address was replaced before. A neighbour
  # could send packets for the container itself to this host, and engines before 28 let them pass to a port of 127.0.0.1.
  for uplink in $(uplinks); do echo "-A SLIPWAY-FORWARD -o $uplink -j RETURN"; done
  for bridge in docker0 br-+; do
    echo "-A SLIPWAY-FORWARD -o $bridge -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
  done
  for chain in SLIPWAY-HOST SLIPWAY-OTHERS; do
    echo "-A $chain -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
    ! $ipv6 || echo "-A $chain -p ipv6-icmp -j RETURN"
  done
  shift 2
  # Some clouds have it answer from the machine itself.
  for chain in SLIPWAY-HOST SLIPWAY-OTHERS; do
    if $ipv6; then echo "-A $chain -d $metadata_ipv6 -j $refusal"; else echo "-A $chain -d $metadata -j $refusal"; fi
  done
  if ! $ipv6; then
    for host in "$@"; do
      [ -n "${host#*=}" ] || continue
      open SLIPWAY-OTHERS "${host%=*}" "${host#*=}"
    done
    for host in "$@"; do
      [ -z "${host#*=}" ] || echo "-A SLIPWAY-OTHERS -d ${host#*=} -j $refusal"
    done
  fi
  host=
  for host in "$@"; do
    [ -n "${host#*=}" ] || break
    host=
  done
  open SLIPWAY-HOST "${host%=}"
  echo "-A SLIPWAY-HOST -j $refusal"
  echo COMMIT
}

# hook IPTABLES CHAIN OWN: the chain goes through Slipway's first. A rule ahead of it could let everything pass.
hook() {
  # The first line is the chain itself.
  [ "$("$1" -w -S "$2" | sed -n 2p)" != "-A $2 -j $3" ] || return 0
  {
    echo '*filter'
    ! "$1" -w -C "$2" -j "$3" 2>/dev/null || echo "-D $2 -j $3"
    echo "-I $2 -j $3"
    echo COMMIT
  } | "$1-restore" -w --noflush
}

main() {
  local iptables
  # What bridges pass on goes through these rules, too, as Docker Engine itself has had it for long.
  [ -e /proc/sys/net/bridge ] || modprobe -q br_netfilter || true
  for iptables in iptables ip6tables; do
    # A kernel without IPv6 has no rules for it.
    [ "$iptables" = iptables ] || ip6tables -w -S >/dev/null 2>&1 || continue
    separate "$iptables"
    # In one step, so that there is no moment without them. Not every kernel can say no.
    rules "$iptables" "$(refused "$iptables")" "$@" | "$iptables-restore" -w --noflush 2>/dev/null ||
      rules "$iptables" DROP "$@" | "$iptables-restore" -w --noflush
    # Docker Engine makes this chain, and takes it as it is if it is there.
    "$iptables" -w -n -L DOCKER-USER >/dev/null 2>&1 || "$iptables" -w -N DOCKER-USER
    hook "$iptables" FORWARD DOCKER-USER
    hook "$iptables" DOCKER-USER SLIPWAY-FORWARD
    hook "$iptables" INPUT SLIPWAY-INPUT
  done
}

main "$@"
