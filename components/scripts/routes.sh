#!/usr/bin/env bash
# The routes of this host's proxy, for switch.sh: which container gets the requests of which domain.
#
# A route's key is @DOMAIN; the key @ is the route of all domains that have no route. In kamal-proxy a route is called a
# service, and its name here is its key. (Older versions named a route after its Slipway service; it keeps that name.)
# So a route passes from one service to another in one step, which loses no request.
#
# Each route is recorded in a file, from which a proxy that lost its routes gets them back. The record of a route:
# CONTAINER PORT DRAIN_TIMEOUT STOP_GRACE.
set -euo pipefail

proxy=slipway-proxy
records=/etc/slipway/routes
label=slipway.service
default_drain=30
default_grace=10
# The proxy's routes, a line each: name, key, container, port, state.
routes=
# The services' containers, a line each: name, service, state.
containers=

in_proxy() { docker exec "$proxy" kamal-proxy "$@"; }

# look_around: reads routes and containers. False if the proxy does not answer for so many tenths of a second.
look_around() {
  local listing=
  containers=$(docker ps -a --filter "label=$label" --format "{{.Names}} {{.Label \"$label\"}} {{.State}}")
  for _ in $(seq "$1"); do
    if listing=$(in_proxy list 2>/dev/null); then
      routes=$(awk '
        { gsub(/\033\[[0-9;]*m/, "") }
        $4 ~ /:[0-9]+$/ {
          split($4, target, ":")
          print $1, $2 == "*" ? "@" : "@" $2, target[1], target[2], $5
        }' <<<"$listing")
      return
    fi
    sleep 0.1
  done
  return 1
}

# name_of KEY, target_of KEY: the name that the proxy has for the route, and the container that gets its requests.
name_of() { awk -v key="$1" '$2 == key { print $1 }' <<<"$routes"; }
target_of() { awk -v key="$1" '$2 == key { print $3 }' <<<"$routes"; }

# keys [SERVICE]: the keys of all routes, or of those to a service's containers.
keys() {
  local key container
  while read -r _ key container _; do
    if [ -z "$key" ]; then continue; fi
    if [ $# = 0 ] || [ "$(service_of "$container")" = "$1" ]; then echo "$key"; fi
  done <<<"$routes"
}

# has_route CONTAINER: whether the container gets the requests of a route.
has_route() { awk -v name="$1" '$3 == name { found = 1 } END { exit !found }' <<<"$routes"; }

# containers_of SERVICE, service_of CONTAINER, is_running CONTAINER, exists CONTAINER
containers_of() { awk -v service="$1" '$2 == service { print $1 }' <<<"$containers"; }
service_of() { awk -v name="$1" '$1 == name { print $2 }' <<<"$containers"; }
is_running() { [ "$(awk -v name="$1" '$1 == name { print $3 }' <<<"$containers")" = running ]; }
exists() { [ -n "$(service_of "$1")" ]; }

# inspect CONTAINER FORMAT: a fact about a container; nothing if there is no such container.
inspect() { docker container inspect "$1" --format "$2" 2>/dev/null || true; }

# deploy KEY CONTAINER PORT OPTION…: gives the route's requests to the container, once the proxy finds it healthy, and
# drains the container that had them.
deploy() {
  local key=$1 container=$2 port=$3 domain=${1#@} name state
  shift 3
  read -r name _ _ _ state < <(awk -v key="$key" '$2 == key' <<<"$routes") || name=$key state=running
  in_proxy deploy "$name" --target "$container:$port" ${domain:+--host "$domain"} "$@" >&2 || return
  # A killed run may have left it stopped, ahead of its removal.
  [ "$state" = running ] || in_proxy resume "$name" >&2
  routes=$(awk -v key="$key" '$2 != key' <<<"$routes")$'\n'"$name $key $container $port running"
}

# record KEY CONTAINER PORT DRAIN_TIMEOUT STOP_GRACE
record() { put "$records/$1" 0600 <<<"${*:2}"; }

# recorded CONTAINER: sets `drain` and `grace`, seconds, to what its service was switched with.
recorded() {
  local line
  line=$(grep -hs "^$1 " "$records"/@* | head -n 1) || line="- - $default_drain $default_grace"
  read -r _ _ drain grace <<<"$line"
}

# drop KEY: takes a route out of the proxy and ends its container, if the container has no other route.
drop() {
  local container name drain grace
  name=$(name_of "$1") container=$(target_of "$1")
  recorded "$container"
  # A removal alone would not let requests finish.
  in_proxy stop "$name" --drain-timeout "${drain}s" >/dev/null 2>&1 || true
  in_proxy remove "$name" >/dev/null 2>&1 || true
  rm -f "$records/$1"
  routes=$(awk -v key="$1" '$2 != key' <<<"$routes")
  has_route "$container" || end "$container" "$grace"
}

# end CONTAINER GRACE: SIGTERM, and SIGKILL if the container still runs after so many seconds.
end() {
  local grace=$2 pid signal handled=0 mask
  read -r pid signal <<<"$(inspect "$1" '{{.State.Pid}} {{.Config.StopSignal}}')"
  [ "${pid:-0}" != 0 ] || signal=unknown
  case "${signal:-SIGTERM}" in
    SIGTERM | TERM | 15)
      # The kernel hides SIGTERM from a container's first process, unless that one handles, blocks or ignores it.
      # Waiting for such a process would be of no use.
      while read -r _ mask; do handled=$((handled | 16#$mask)); done < <(
        grep -E '^Sig(Cgt|Blk|Ign):' "/proc/$pid/status" 2>/dev/null || echo "- 4000"
      )
      ((handled & 16#4000)) || grace=0
      ;;
  esac
  docker stop -t "$grace" "$1" >/dev/null 2>&1 || true
}

# end_all CONTAINERS: ends all at the same time.
end_all() {
  local container drain grace
  for container in $1; do
    recorded "$container"
    end "$container" "$grace" &
  done
  wait
}

# start_proxy: starts the proxy if it was stopped or killed. Docker itself leaves it stopped then.
start_proxy() {
  case "$(inspect "$proxy" '{{.State.Status}}')" in
    running | restarting) ;;
    '') fail 6 "$(hostname) has no proxy: the container $proxy was removed" "\`./slip up --refresh\` makes it again" ;;
    paused) docker unpause "$proxy" >/dev/null ;;
    *) docker start "$proxy" >/dev/null || fail 6 "the proxy of $(hostname) does not start; the reason is above" ;;
  esac
}

# restore: looks around; the proxy then runs, and has each recorded route whose container runs.
restore() {
  local file key container port now
  if ! look_around 1; then
    start_proxy
    look_around 100 ||
      fail 6 "the proxy of $(hostname) does not answer; \`docker logs $proxy\` on that host shows why"
  fi
  for file in "$records"/@*; do
    [ -e "$file" ] || continue
    key=${file##*/}
    read -r container port _ <"$file"
    now=$(target_of "$key")
    # A run may have been killed before it recorded its route.
    if is_running "$now" || [ "$now" = "$container" ] || ! is_running "$container"; then continue; fi
    # At its switch the container was healthy, and the proxy's own check would refuse one that is not now.
    { vouch "$container" && deploy "$key" "$container" "$port" "${vouched[@]}"; } ||
      echo "slipway: the proxy of $(hostname) did not take back the route to $container" >&2
    end_vouching
  done
}

# vouch CONTAINER: answers the proxy's own health check with "200 OK", on a free port of the container. Sets `vouched` to
# the options that the proxy needs. False if the container does not run.
vouch() {
  local pid port=65530 in_use
  pid=$(inspect "$1" '{{.State.Pid}}')
  in_use=$(cat "/proc/${pid:-0}"/net/tcp* 2>/dev/null) || return
  while [[ $in_use = *:$(printf %04X "$port")" "* ]]; do port=$((port - 1)); done
  # It reads the whole request: closing a connection with unread data resets it.
  # shellcheck disable=SC2016 # the other bash expands it
  nsenter --net="/proc/$pid/ns/net" systemd-socket-activate --accept --inetd --listen="0.0.0.0:$port" bash -c '
    while IFS= read -r line && [ "$line" != $'"'\r'"' ]; do :; done
    printf "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"' </dev/null >/dev/null 2>&1 &
  voucher=$!
  for _ in $(seq 50); do
    ! grep -q ":$(printf %04X "$port") " "/proc/$pid/net/tcp" || break
    sleep 0.02
  done
  # shellcheck disable=SC2034 # for switch.sh
  vouched=(--health-check-port "$port" --health-check-interval 200ms)
}

end_vouching() {
  [ -z "${voucher:-}" ] || kill "$voucher" 2>/dev/null || true
  voucher=
}
trap end_vouching EXIT
