#!/usr/bin/env bash
# The routes of this host's proxy, for switch.sh: which container gets the requests of which name and path.
#
# A route's key is @NAME, or @NAME%PATH with a % for each slash of the path; NAME is empty for all names that have no route.
# Each route is recorded in a file. The record of a route: CONTAINER PORT DRAIN_TIMEOUT STOP_GRACE [OPTION…].
#
# The records are what should be. HAProxy's configuration is made from them (frontend.sh), and its process is then brought
# to the same state: containers by its runtime API, all else by a reload. Neither loses a request.
# shellcheck disable=SC2119,SC2154 # `keys` without a service; variables of frontend.sh
set -euo pipefail

proxy=slipway-proxy
records=/etc/slipway/routes
label=slipway.service
default_drain=30
default_grace=10
# The services' containers, a line each: name, service, state, address.
containers=
# The servers of the proxy's process, a line each: backend, container, address, port, yes if it gets new requests.
servers=
# The process id of HAProxy's master on this host.
process=

# look_around: reads the containers.
look_around() {
  local ids format="{{slice .Name 1}} {{index .Config.Labels \"$label\"}} {{.State.Status}} {{
    range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
  ids=$(docker ps -aq --filter "label=$label")
  # One of them may just have been removed.
  # shellcheck disable=SC2086 # one word a container
  containers=${ids:+$(docker container inspect --format "$format" $ids 2>/dev/null || true)}
}

# keys [SERVICE]: the keys of all routes, or of those to a service's containers.
# shellcheck disable=SC2120 # switch.sh gives it one
keys() {
  local file container
  for file in "$records"/@*; do
    [ -e "$file" ] || continue
    read -r container _ <"$file" || true
    if [ $# = 0 ] || [ "$(service_of "$container")" = "$1" ]; then echo "${file##*/}"; fi
  done
}

# target_of KEY: the container that gets the route's requests.
target_of() {
  local container=
  [ ! -e "$records/$1" ] || read -r container _ <"$records/$1" || true
  echo "$container"
}

# has_route CONTAINER: whether the container gets the requests of a route.
has_route() { grep -qs "^$1 " "$records"/@*; }

# containers_of SERVICE, service_of CONTAINER, is_running CONTAINER, exists CONTAINER
containers_of() { awk -v service="$1" '$2 == service { print $1 }' <<<"$containers"; }
service_of() { awk -v name="$1" '$1 == name { print $2 }' <<<"$containers"; }
is_running() { [ "$(awk -v name="$1" '$1 == name { print $3 }' <<<"$containers")" = running ]; }
exists() { [ -n "$(service_of "$1")" ]; }

# inspect CONTAINER FORMAT: a fact about a container; nothing if there is no such container.
inspect() { docker container inspect "$1" --format "$2" 2>/dev/null || true; }

# recorded CONTAINER: sets `drain` and `grace`, seconds, to what its service was switched with.
recorded() {
  local line
  line=$(grep -hs "^$1 " "$records"/@* | head -n 1) || line="- - $default_drain $default_grace"
  read -r _ _ drain grace _ <<<"$line"
}

# ask COMMAND…: what HAProxy's processes answer. The master passes on what begins with @1 to the worker that serves, and
# what begins with @!PID to an earlier one that still finishes its requests. False if there is no answer.
ask() {
  [ -e "/proc/${process:-0}/ns/net" ] || process=$(inspect "$proxy" '{{.State.Pid}}')
  [ "${process:-0}" != 0 ] || return
  # shellcheck disable=SC2016 # the other bash expands it
  nsenter --net="/proc/$process/ns/net" timeout 15 bash -c '
    exec 3<>/dev/tcp/127.0.0.1/9998 && printf "%s\n" "$@" quit >&3 && cat <&3' - "$@" 2>/dev/null
}

# read_process: sets `servers`, and `loaded` to the mark of the configuration that the process has read.
read_process() {
  local answer
  [ -e "/proc/${process:-0}/ns/net" ] || process=$(inspect "$proxy" '{{.State.Pid}}')
  answer=$(ask '@1 show info' '@1 show servers state') && [[ $answer = *srv_admin_state* ]] || return
  loaded=$(awk '/^description: / { print $2; exit }' <<<"$answer")
  servers=$(awk '$2 ~ /^r:/ { print $2, $4, $5, $19, $6 == 2 && $7 ~ /^[04]$/ ? "yes" : "no" }' <<<"$answer")
}

# wanted: the servers that the records ask for, a line each: backend, container, address, port. The address of one that
# does not run is 0.0.0.0.
wanted() {
  local key container port address
  for key in $(keys); do
    read -r container port _ <"$records/$key" || continue
    address=$(awk -v name="$container" '$1 == name && $3 == "running" { print $4 }' <<<"$containers")
    echo "$(backend_of "$key") $container ${address:-0.0.0.0} $port"
  done
}

# steps: the commands that bring the process's servers to what is wanted; none if nothing is to do.
steps() {
  awk -v running="$(awk '$3 == "running" { print $1 }' <<<"$containers" | tr '\n' ' ')" '
    function say(text) { print "@1 " text }
    FNR == NR { if (NF) { address[$1 "/" $2] = $3; port[$1 "/" $2] = $4; takes[$1 "/" $2] = $5; order[++count] = $1 "/" $2 }; next }
    !NF { next }
    {
      name = $1 "/" $2
      wanted[name] = 1
      if (!(name in address)) {
        say("add server " name " " $3 ":" $4)
        takes[name] = "no"
      } else if ($3 != "0.0.0.0" && (address[name] != $3 || port[name] != $4)) {
        say("set server " name " addr " $3 " port " $4)
      }
      if ($3 != "0.0.0.0" && takes[name] != "yes") say("set server " name " state ready")
      if ($3 == "0.0.0.0" && takes[name] == "yes") say("set server " name " state maint")
    }
    END {
      for (number = 1; number <= count; number++) {
        name = order[number]
        if (name in wanted) continue
        split(name, part, "/")
        if (takes[name] == "yes") say("set server " name " state drain")
        if (index(" " running, " " part[2] " ")) continue
        say("set server " name " state maint")
        say("del server " name)
      }
    }' <(echo "$servers") <(echo "$1")
}

# fits: whether the process has the configuration and the servers that are wanted.
fits() {
  [ "$loaded" = "$1" ] && ! steps "$2" | grep -v ' del server \| state maint$' | grep -q .
}

# apply: brings configuration and process to the records. False, with the reason, if HAProxy refuses.
apply() {
  local text mark targets commands answer
  targets=$(wanted)
  text=$(configuration "$targets")
  mark=$(mark_of <<<"$text")
  text=${text/MARK/$mark}
  if ! cmp -s "$configured" - <<<"$text"; then
    put "$configured.new" 0644 <<<"$text"
    if ! answer=$(docker exec "$proxy" haproxy -c -q -f "$inside.new" 2>&1); then
      printf '%s\n' "$answer" >&2
      rm -f "$configured.new"
      return 1
    fi
    mv -fT "$configured.new" "$configured"
  fi
  touch /run/slipway-warm
  read_process || return
  if [ "$loaded" = "$mark" ]; then
    mapfile -t commands < <(steps "$targets")
    [ "${#commands[@]}" != 0 ] || return 0
    ask "${commands[@]}" >/dev/null || true
    read_process && fits "$mark" "$targets" && return
  fi
  answer=$(ask reload) || true
  for _ in $(seq 50); do
    if read_process && fits "$mark" "$targets"; then return; fi
    sleep 0.1
  done
  printf '%s\n' "$answer" >&2
  return 1
}

# locked COMMAND…: one run at a time. Services switch beside each other.
locked() {
  local status=0
  exec 8>/run/slipway-routes.lock
  flock 8
  "$@" 8>&- || status=$?
  exec 8>&-
  return "$status"
}

apply_now() {
  look_around
  apply
}

# adopt: records the routes of kamal-proxy, which older versions had here. Its oldest ones have no record.
adopt() {
  local key container port
  while read -r key container port; do
    [ -e "$records/$key" ] || put "$records/$key" 0600 <<<"$container $port $default_drain $default_grace"
  done < <(docker exec "$proxy" kamal-proxy list 2>/dev/null | awk '
    { gsub(/\033\[[0-9;]*m/, "") }
    $4 ~ /:[0-9]+$/ { split($4, target, ":"); print $2 == "*" ? "@" : "@" $2, target[1], target[2] }')
}

# prepare: makes the configuration of a proxy that does not run yet; one that runs takes it.
prepare() {
  local targets text
  folder "${configured%/*}" 0755
  look_around
  if read_process; then
    apply
    return
  fi
  adopt
  targets=$(wanted)
  text=$(configuration "$targets")
  put "$configured" 0644 <<<"${text/MARK/$(mark_of <<<"$text")}"
}

# cold: nothing is known of the containers' addresses before the engine has started them.
cold() {
  [ ! -e "$configured" ] || put "$configured" 0644 < <(
    sed -E 's/^(  server [^ ]+ )[^ ]+(:[0-9]+).*/\10.0.0.0\2 disabled/' "$configured"
  )
}

# start_proxy: starts the proxy if it was stopped or killed. Docker itself leaves it stopped then.
start_proxy() {
  case "$(inspect "$proxy" '{{.State.Status}}')" in
    running) ;;
    # The engine waits longer with each try.
    restarting) docker restart "$proxy" >/dev/null || true ;;
    '') fail 6 "$(hostname) has no proxy: the container $proxy was removed" "\`./slip up --refresh\` makes it again" ;;
    paused) docker unpause "$proxy" >/dev/null ;;
    *) docker start "$proxy" >/dev/null || fail 6 "the proxy of $(hostname) does not start; the reason is above" ;;
  esac
}

# restore: looks around; the proxy then runs, and has each recorded route.
restore() {
  look_around
  if ! read_process; then
    # The file may have been lost, or changed by hand so that HAProxy cannot read it.
    locked prepare
    start_proxy
    for _ in $(seq 100); do
      ! read_process || break
      sleep 0.1
    done
    read_process || fail 6 "the proxy of $(hostname) does not answer; \`docker logs $proxy\` on that host shows why"
  fi
  locked apply_now || fail 6 "the proxy of $(hostname) did not take its routes back; its reason is above"
}

# busy SERVER…: how many requests the proxy's processes still have with these servers, as BACKEND/CONTAINER.
busy() {
  local worker workers
  workers=$(ask 'show proc' | awk '$2 == "worker" { print $1 }') || return
  for worker in $workers; do ask "@!$worker show stat -1 4 -1" || true; done |
    awk -F, -v wanted=" $* " 'index(wanted, " " $1 "/" $2 " ") { sum += $5 } END { print sum + 0 }'
}

# finish SECONDS SERVER…: waits until these servers have no request left, for so long, then cuts what is left.
finish() {
  local deadline=$((SECONDS + $1)) server worker
  shift
  [ $# != 0 ] || return 0
  while [ "$(busy "$@")" != 0 ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      for worker in $(ask 'show proc' | awk '$2 == "worker" { print $1 }'); do
        for server in "$@"; do ask "@!$worker shutdown sessions server $server" >/dev/null || true; done
      done
      break
    fi
    sleep 0.1
  done
  for server in "$@"; do
    ask "@1 set server $server state maint" "@1 del server $server" >/dev/null || true
  done
}

# retire CONTAINER GRACE: ends a container, unless it has a route. Another run may be giving its routes away just now: so
# this waits until that is done, and until the last request is through.
retire() {
  local former drain grace
  locked true
  ! has_route "$1" || return 0
  recorded "$1"
  read_process || true
  mapfile -t former < <(awk -v name="$1" '$2 == name { print $1 "/" $2 }' <<<"$servers")
  finish "${drain_timeout:-$drain}" "${former[@]}"
  end "$1" "$2"
}

# drop KEY…: takes routes out of the proxy, and ends the containers that have no other route.
drop() {
  local key container former=() ends=() drain grace longest=0
  [ $# != 0 ] || return 0
  for key in "$@"; do
    container=$(target_of "$key")
    recorded "$container"
    [ "$drain" -le "$longest" ] || longest=$drain
    former+=("$(backend_of "$key")/$container")
    ends+=("$container $grace")
  done
  for key in "$@"; do rm -f "$records/$key"; done
  locked apply_now || true
  finish "$longest" "${former[@]}"
  printf '%s\n' "${ends[@]}" | sort -u | while read -r container grace; do
    retire "$container" "$grace"
  done
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
  docker stop -t "$grace" "$1" </dev/null >/dev/null 2>&1 || true
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
