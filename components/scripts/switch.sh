#!/usr/bin/env bash
# Switches a service's traffic on this host to a new container, once that container is healthy.
# The old container serves until then; it continues to serve if the new one does not become healthy.
#
#   switch SERVICE CONTAINER PORT HEALTH_PATH HEALTH_TIMEOUT DRAIN_TIMEOUT [DOMAIN]   timeouts in seconds
#   switch --remove SERVICE
#   switch --serving          prints the images that serve, HOST:PORT/REPOSITORY@DIGEST, a line each
set -euo pipefail

proxy=slipway-proxy

in_proxy() { docker exec "$proxy" kamal-proxy "$@"; }

# The proxy's present routes: a table of service, host, path, target, … The proxy may still be starting, so this retries.
answers=false
for _ in $(seq 100); do
  listing=$(in_proxy list 2>/dev/null) && answers=true && break
  sleep 0.1
done

# Each service of the listing, and the container of its target. Cells may be blank, and may have colours.
targets() {
  awk '
    { gsub(/\033\[[0-9;]*m/, "") }
    match($0, /[A-Za-z0-9][A-Za-z0-9_.-]*:[0-9]+/) {
      split(substr($0, RSTART, RLENGTH), target, ":")
      print $1, target[1]
    }' <<<"$listing"
}

if [ "$1" = --remove ]; then
  # Already gone: fine.
  in_proxy remove "$2" 2>/dev/null || true
  exit 0
fi

if [ "$1" = --serving ]; then
  $answers || fail 6 "the proxy does not answer"
  status=0
  while read -r service container; do
    images=
    if id=$(docker inspect "$container" --format '{{.Image}}'); then
      images=$(docker image inspect "$id" --format '{{range .RepoDigests}}{{println .}}{{end}}') || true
    fi
    if [ -n "$images" ]; then
      echo "$images"
    else
      echo "slipway: $service is served by $container, whose image has no digest here" >&2
      status=6
    fi
  done < <(targets)
  exit $status
fi

service=$1 container=$2 port=$3 path=$4 health_timeout=$5 drain_timeout=$6 domain=${7:-}
old=$(targets | awk -v service="$service" '$1 == service && !found++ { print $2 }')

# stop REASON: ends the roll-out.
stop() {
  local logs
  logs=$(docker logs --tail 20 "$container" 2>&1 | sed 's/^/  | /')
  echo "slipway: $service on $(hostname): $1"
  if [ -n "$old" ]; then
    echo "slipway: the previous version continues to serve"
  else
    echo "slipway: there is no previous version, so nothing serves yet"
  fi
  echo "slipway: the container's last log lines:"
  echo "${logs:-  (it logged nothing)}"
  exit 6
} >&2

# The address is last, since a container that is not running has none.
look() {
  local format='{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}} {{.State.OOMKilled}} {{
    range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
  read -r status exit_code restarts out_of_memory address <<<"$(docker inspect "$container" --format "$format")"
}

# The proxy could wait too, but it cannot tell a crash from a slow start.
now() { echo "${EPOCHREALTIME/[.,]/}"; }
deadline=$(($(now) + health_timeout * 1000000))
answer=
while :; do
  look
  if [ "$status" != running ] || [ "$restarts" -gt 0 ]; then
    # A restarted container no longer reports its exit code; read it between exit and restart. `docker wait` may report
    # the restart's.
    for _ in $(seq 50); do
      [ "$status" = running ] || break
      sleep 0.05
      look
    done
    [ "$status" != running ] || exit_code=unknown
    why="it crashed with exit code $exit_code"
    [ "$out_of_memory" != true ] || why="$why, out of memory"
    stop "$why, before it was healthy"
  fi
  # curl prints 000 if there is no answer; its exit status says why.
  curl_status=0
  answer=$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 ${domain:+-H "Host: $domain"} "http://$address:$port$path") || curl_status=$?
  case "$answer" in 2??) break ;; esac
  if [ "$(now)" -ge "$deadline" ]; then
    case "$curl_status" in
      0) stop "its health check $path answered HTTP $answer for $health_timeout s" ;;
      7) stop "it refused the connection on port $port for $health_timeout s" ;;
      28) stop "its health check $path timed out, for $health_timeout s" ;;
      *) stop "its health check $path got no HTTP answer for $health_timeout s (curl exit status $curl_status)" ;;
    esac
  fi
  sleep 0.1
done

in_proxy deploy "$service" --target "$container:$port" ${domain:+--host "$domain"} \
  --health-check-path "$path" \
  --deploy-timeout "${health_timeout}s" --drain-timeout "${drain_timeout}s" >&2 ||
  stop "the proxy did not take it"

# A killed run may have left a container that is not in the state. The old container stays: Pulumi removes it, and its
# logs can be read until then.
docker ps -a --filter "label=slipway.service=$service" --format '{{.Names}}' | while read -r name; do
  [ "$name" = "$container" ] || [ "$name" = "$old" ] || docker rm -f "$name" >/dev/null
done
