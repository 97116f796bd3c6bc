#!/usr/bin/env bash
# Moves a service's traffic on this host to a container, once that container is healthy.
# The old container goes on serving until then, and for good where the new one does not get healthy.
#
#   switch SERVICE CONTAINER PORT HEALTH_PATH HEALTH_TIMEOUT DRAIN_TIMEOUT [DOMAIN]   timeouts in seconds
#   switch --remove SERVICE
#   switch --serving          says which images serve, HOST:PORT/REPOSITORY@DIGEST, a line each
set -euo pipefail

proxy=slipway-proxy

in_proxy() { docker exec "$proxy" kamal-proxy "$@"; }

# What serves now: a table of service, host, path, target, … Asked again while the proxy is only just starting.
answers=false
for _ in $(seq 100); do
  listing=$(in_proxy list 2>/dev/null) && answers=true && break
  sleep 0.1
done

# Each service of the listing with its target's container. Cells may be blank, and all may be coloured.
targets() {
  awk '
    { gsub(/\033\[[0-9;]*m/, "") }
    match($0, /[A-Za-z0-9][A-Za-z0-9_.-]*:[0-9]+/) {
      split(substr($0, RSTART, RLENGTH), target, ":")
      print $1, target[1]
    }' <<<"$listing"
}

if [ "$1" = --remove ]; then
  # Not there is as good as removed.
  in_proxy remove "$2" 2>/dev/null || true
  exit 0
fi

if [ "$1" = --serving ]; then
  $answers || {
    echo "slipway: the proxy does not answer" >&2
    exit 6
  }
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

fail() {
  local logs
  logs=$(docker logs --tail 20 "$container" 2>&1 | sed 's/^/  | /')
  echo "slipway: $service on $(hostname): $1"
  if [ -n "$old" ]; then
    echo "slipway: the version before it goes on serving"
  else
    echo "slipway: there is no version before it, so nothing serves yet"
  fi
  echo "slipway: the container's last log lines:"
  echo "${logs:-  (it logged nothing)}"
  exit 6
} >&2

# The address comes last, since a container that is not running has none.
look() {
  local format='{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}} {{.State.OOMKilled}} {{
    range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
  read -r status exit_code restarts out_of_memory address <<<"$(docker inspect "$container" --format "$format")"
}

# Waits here rather than in the proxy, which cannot tell a crash from a slow start and would wait on.
now() { echo "${EPOCHREALTIME/[.,]/}"; }
deadline=$(($(now) + health_timeout * 1000000))
answer=
while :; do
  look
  if [ "$status" != running ] || [ "$restarts" -gt 0 ]; then
    # Running again, it no longer shows the code that it exited with: only between its end and the next start. `docker wait`
    # may tell that of the start.
    for _ in $(seq 50); do
      [ "$status" = running ] || break
      sleep 0.05
      look
    done
    [ "$status" != running ] || exit_code=unknown
    why="it crashed with exit code $exit_code"
    [ "$out_of_memory" != true ] || why="$why, out of memory"
    fail "$why, before it was healthy"
  fi
  # 000 is curl's word for no answer; its exit status says why.
  curl_status=0
  answer=$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 ${domain:+-H "Host: $domain"} "http://$address:$port$path") || curl_status=$?
  case "$answer" in 2??) break ;; esac
  if [ "$(now)" -ge "$deadline" ]; then
    case "$curl_status" in
      0) fail "its health check $path answered HTTP $answer for $health_timeout s" ;;
      7) fail "it refused the connection on port $port for $health_timeout s" ;;
      28) fail "its health check $path timed out, for $health_timeout s" ;;
      *) fail "its health check $path got no HTTP answer for $health_timeout s (curl exit status $curl_status)" ;;
    esac
  fi
  sleep 0.1
done

in_proxy deploy "$service" --target "$container:$port" ${domain:+--host "$domain"} \
  --health-check-path "$path" \
  --deploy-timeout "${health_timeout}s" --drain-timeout "${drain_timeout}s" >&2 ||
  fail "the proxy did not take it"

# A run that was killed may have left a container that nobody knows. The one that has just been relieved stays:
# it is Pulumi's to remove, and can still be asked for its logs until then.
docker ps -a --filter "label=slipway.service=$service" --format '{{.Names}}' | while read -r name; do
  [ "$name" = "$container" ] || [ "$name" = "$old" ] || docker rm -f "$name" >/dev/null
done
