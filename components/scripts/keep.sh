#!/usr/bin/env bash
# Starts containers that should run and have ended: the proxy, the registry, and what the proxy's routes lead to.
# Docker restarts a container that crashes, but not one that `docker kill` or `docker stop` has ended.
# And it has those restarted that hang (hangs.sh). Runs on each host as the service slipway-keep.
set -euo pipefail

# ended LABEL: the names of the containers with this label that ran and ended. One that never ran is still being made.
ended() { docker ps -a --filter "label=$1" --filter status=exited --format '{{.Names}}'; }

# restarts CONTAINER: its restart policy. Whoever takes its volume away sets `no` first: it must not start without it.
restarts() { docker container inspect "$1" --format '{{.HostConfig.RestartPolicy.Name}}'; }

start_ended() {
  local name
  for name in $(ended slipway.role); do
    [ "$(restarts "$name")" != no ] || continue
    echo "starting $name, which has ended"
    docker start "$name" >/dev/null || true
  done
  # Versions that no route leads to have ended on purpose.
  for name in $(ended slipway.service); do
    routed "$name" || continue
    # Its settings say when it starts again.
    case "$(restarts "$name")" in no | on-failure) continue ;; esac
    /usr/local/lib/slipway/switch --may-start "$name" || continue
    echo "starting $name, which has ended although it serves"
    docker start "$name" >/dev/null || true
  done
}

# routed CONTAINER: whether the proxy routes to it, or it serves without the proxy.
routed() {
  grep -qs "^  server $1 " /etc/slipway/proxy/haproxy.cfg || grep -qs "^$1 " /etc/slipway/services/*
}

# open_ports: makes this host listen on the private ports of services elsewhere. A service that was here may have held one
# of them until now.
open_ports() {
  local unit
  for unit in /etc/systemd/system/slipway-port-*.socket; do
    [ -e "$unit" ] || continue
    unit=${unit##*/}
    systemctl -q is-active "$unit" || systemctl start "$unit" 2>/dev/null || true
  done
}

sweep_secrets() { [ ! -x /usr/local/lib/slipway/keep-secrets ] || /usr/local/lib/slipway/keep-secrets sweep || true; }

# A container may have another address after each start.
restore() { [ ! -e /etc/slipway/proxy/haproxy.cfg ] || /usr/local/lib/slipway/switch --restore || true; }

# watch_hosts: on a person's own machine a host may come back with another address, and only its name stays. An edge and
# the app hosts behind it know each other.
watch_hosts() {
  local names before='' now
  names=$(
    {
      # A host has one of the two files at most.
      sed -n 's/^host [^ ]* //p' /etc/slipway/edge || true
      cat /etc/slipway/proxy/edges || true
    } 2>/dev/null | grep -o '[^ ]*[a-z][^ ]*'
  ) || return 0
  while sleep 2; do
    # shellcheck disable=SC2086 # one word a name
    now=$(getent ahostsv4 $names) || true
    [ -n "$now" ] || continue
    [ "$now" = "$before" ] || restore
    before=$now
  done
}

# tend: each run ends when there is a new version of its script.
tend() {
  while sleep 1; do /usr/local/lib/slipway/switch --tend || true; done
}

main() {
  local since event name
  since=$(date +%s)
  start_ended
  open_ports
  restore
  sweep_secrets
  # They end with this, as when the engine ends, and with it its events.
  trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
  watch_hosts &
  tend &
  # curl, since Docker's own command takes four times the memory all the time.
  curl -sSN --unix-socket /var/run/docker.sock --get http://docker/events --data "since=$since" \
    --data-urlencode 'filters={"type":["container"],"event":["die","start","destroy"]}' |
    while read -r event; do
      case "$event" in
        *'"Action":"start"'*)
          name=${event##*'"name":"'}
          name=${name%%'"'*}
          if [ "$name" = slipway-proxy ] || routed "$name"; then restore; fi
          ;;
        # The last container with a former value of a secret may be gone.
        *'"Action":"destroy"'*) sweep_secrets ;;
        *)
          # The engine tells of the end a moment before it lists the container as ended.
          sleep 0.2
          start_ended
          open_ports
          ;;
      esac
    done
}

main </dev/null
