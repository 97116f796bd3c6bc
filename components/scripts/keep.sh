#!/usr/bin/env bash
# Starts containers that should run and have ended: the proxy, the registry, and what the proxy's routes lead to.
# Docker restarts a container that crashes, but not one that `docker kill` or `docker stop` has ended.
# Runs on each host as the service slipway-keep.
set -euo pipefail

# ended LABEL: the names of the containers with this label that ran and ended. One that never ran is still being made.
ended() { docker ps -a --filter "label=$1" --filter status=exited --format '{{.Names}}'; }

start_ended() {
  local name listing
  for name in $(ended slipway.role); do
    echo "starting $name, which has ended"
    docker start "$name" >/dev/null || true
    # A proxy that was killed while it wrote its routes has lost them.
    if [ "$name" = slipway-proxy ]; then /usr/local/lib/slipway/switch --restore || true; fi
  done
  # Versions that no route leads to have ended on purpose.
  [ -n "$(ended slipway.service)" ] || return 0
  listing=$(docker exec slipway-proxy kamal-proxy list 2>/dev/null) || return 0
  for name in $(ended slipway.service); do
    [[ $listing == *"$name:"* ]] || continue
    echo "starting $name, which has ended although the proxy routes to it"
    docker start "$name" >/dev/null || true
  done
}

main() {
  local since
  since=$(date +%s)
  start_ended
  # curl, since Docker's own command takes four times the memory all the time.
  curl -sSN --unix-socket /var/run/docker.sock --get http://docker/events --data "since=$since" \
    --data-urlencode 'filters={"type":["container"],"event":["die"]}' |
    while read -r _; do
      # The engine tells of the end a moment before it lists the container as ended.
      sleep 0.2
      start_ended
    done
}

main </dev/null
