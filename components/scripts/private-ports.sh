#!/usr/bin/env bash
# The private ports of services on other hosts, for engine.sh.
# shellcheck disable=SC2034,SC2154 # variables of lib.sh
set -euo pipefail

# Makes this host listen on the private ports of services on other hosts, at the address by which containers know it, and
# pass connections on. So containers need not know where a service is, nor be made again when it moves.
forward_ports() {
  local port address unit gateway proxy listed=' '
  changed=false
  gateway=$(ip -4 -o address show docker0 | awk '{ sub("/.*", "", $4); print $4; exit }')
  for proxy in /usr/lib/systemd/systemd-socket-proxyd /lib/systemd/systemd-socket-proxyd; do
    [ ! -x "$proxy" ] || break
  done
  while read -r port address; do
    [ -n "$port" ] || continue
    [ -x "$proxy" ] || fail 4 "$(hostname) lacks systemd-socket-proxyd, which leads to private ports on other hosts"
    listed="$listed$port "
    own_unit "slipway-port-$port.socket" <<UNIT
[Unit]
Description=Private port $port of a service on another host

[Socket]
ListenStream=$gateway:$port
FreeBind=yes

[Install]
WantedBy=sockets.target
UNIT
    own_unit "slipway-port-$port.service" <<UNIT
[Unit]
Description=Passes connections to port $port on to $address

[Service]
ExecStart=$proxy --connections-max=4096 $address:$port
UNIT
  done <<<"${PRIVATE_PORTS:-}"
  for unit in /etc/systemd/system/slipway-port-*.socket; do
    port=${unit##*-} port=${port%.socket}
    if [ ! -e "$unit" ] || [[ $listed = *" $port "* ]]; then continue; fi
    systemctl -q disable --now "${unit##*/}"
    systemctl stop "slipway-port-$port.service" || true
    absent "$unit" "${unit%.socket}.service"
    changed=true
  done
  if $changed; then systemctl daemon-reload; fi
  for port in $listed; do
    enabled "slipway-port-$port.socket"
    if $changed; then systemctl stop "slipway-port-$port.socket" "slipway-port-$port.service" 2>/dev/null || true; fi
    # A container of this host may hold the port until its service has moved; slipway-keep tries again then.
    systemctl start "slipway-port-$port.socket" 2>/dev/null || true
    made+=("unit slipway-port-$port.socket")
  done
}
