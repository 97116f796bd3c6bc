#!/usr/bin/env bash
# The metrics of this host's proxy on the host's loopback, for engine.sh.
# shellcheck disable=SC2034,SC2154 # variables of lib.sh
set -euo pipefail

# Listens on a port of 127.0.0.1, and hands each request to HAProxy, whose metrics only its own loopback has: no container
# reaches either of them. systemd starts a process for each request, so none runs in between.
show_metrics() {
  local port=${PROXY_METRICS_PORT:-} units=/etc/systemd/system unit=slipway-metrics script=/usr/local/lib/slipway/proxy-metrics
  changed=false
  if [ -z "$port" ]; then
    [ -e "$units/$unit.socket" ] || return 0
    systemctl -q disable --now "$unit.socket" || true
    absent "$units/$unit.socket" "$units/$unit@.service" "$script"
    systemctl daemon-reload
    return
  fi
  put "$script" 0644 <<'SCRIPT'
set -uo pipefail
while IFS= read -r -t 5 line && [ -n "${line%$'\r'}" ]; do :; done
process=$(docker container inspect slipway-proxy --format '{{.State.Pid}}' 2>/dev/null) || process=0
if [ "$process" != 0 ]; then
  exec nsenter --net="/proc/$process/ns/net" bash -c '
    exec 3<>/dev/tcp/127.0.0.1/8404 && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 && exec cat <&3'
fi
printf 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
SCRIPT
  own_unit "$unit.socket" <<UNIT
[Unit]
Description=Metrics of the proxy

[Socket]
ListenStream=127.0.0.1:$port
Accept=yes
MaxConnections=16

[Install]
WantedBy=sockets.target
UNIT
  own_unit "$unit@.service" <<UNIT
[Unit]
Description=Answers a request for the metrics of the proxy
CollectMode=inactive-or-failed

[Service]
ExecStart=/bin/bash $script
StandardInput=socket
StandardError=journal
RuntimeMaxSec=30
UNIT
  if $changed; then
    systemctl daemon-reload
    systemctl stop "$unit.socket" 2>/dev/null || true
  fi
  enabled "$unit.socket"
  systemctl start "$unit.socket"
  made+=("unit $unit.socket")
}
