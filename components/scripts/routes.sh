#!/usr/bin/env bash
# The routes of this host's proxy, for switch.sh: which container gets the requests of which name and path.
#
# A route's key is @NAME, or @NAME%PATH with a % for each slash of the path; NAME is empty for all names that have no route.
# Each route is recorded in a file. The record of a route: CONTAINER PORT DRAIN_TIMEOUT STOP_GRACE [OPTION…].
#
# The records are what should be. HAProxy's configuration is made from them (frontend.sh), and its process is then brought
# to the same state: containers by its runtime API, all else by a reload. Neither loses a request.
# shellcheck disable=SC2034,SC2119,SC2154 # variables for and from the others; `keys` without a service
set -euo pipefail

proxy=slipway-proxy
records=/etc/slipway/routes
label=slipway.service
default_drain=30
default_grace=10
# The services' containers, and what each is, by name.
names=()
declare -A service_of=() state_of=() address_of=()
# The proxy's container: its state, the process id of HAProxy's master on this host, and its limit of processes.
proxy_state='' process=0 proxy_limit=''
# The servers of the proxy's process, as BACKEND/CONTAINER, and of each its address, its port, and yes if it gets new
# requests.
servers=()
declare -A server=()
# What Docker Engine answered last, a body and a status for each request. Its program is curl, with the options for each.
bodies=() codes=()
engine_options=(-gsS --noproxy '*' --unix-socket /var/run/docker.sock -w '\ncode %{http_code}\n')

# engine REQUEST…: asks Docker Engine, all over one connection, which takes a fraction of the time of Docker's own command.
# A request is a path, or `POST PATH [BODY]`.
engine() {
  local request path body line words=()
  for request in "$@"; do
    [ "${#words[@]}" = 0 ] || words+=(--next)
    words+=("${engine_options[@]}")
    path=$request
    case "$request" in
      'POST '*)
        read -r _ path body <<<"$request"
        words+=(-X POST)
        [ -z "$body" ] || words+=(-H 'Content-Type: application/json' -d "$body")
        ;;
    esac
    words+=("http://docker$path")
  done
  bodies=() codes=() body=
  while IFS= read -r line; do
    case "$line" in
      'code '*) bodies+=("$body") codes+=("${line#code }") body= ;;
      *) body=$body$line ;;
    esac
  done < <(curl "${words[@]}" </dev/null)
}

# field JSON NAME: sets `value` to that of the first field with this name, a word or a number; empty if there is none.
# Quotes within a text are escaped in JSON, so no text looks like a field.
field() {
  value=${1#*"\"$2\":"}
  if [ "$value" = "$1" ]; then value=; fi
  value=${value%%[,\}]*}
  value=${value//\"/}
}

# find_address JSON: sets `value` to a container's address; empty if it does not run.
find_address() {
  if [[ ${1##*'"NetworkSettings":'} =~ \"IPAddress\":\"([0-9.]+)\" ]]; then value=${BASH_REMATCH[1]}; else value=; fi
}

# look_around: reads the containers.
look_around() {
  local record name value
  engine "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22$label%22%5D%7D" "/containers/$proxy/json"
  [ "${codes[0]:-}" = 200 ] || fail 6 "Docker Engine of $(hostname) does not answer" "${bodies[0]:-}"
  names=() service_of=() state_of=() address_of=()
  while IFS= read -r record; do
    [[ $record =~ \"Names\":\[\"/([^\"]+)\" ]] || continue
    name=${BASH_REMATCH[1]}
    field "$record" "$label"
    names+=("$name") service_of[$name]=$value
    if [[ $record =~ \},\"State\":\"([a-z]+)\" ]]; then state_of[$name]=${BASH_REMATCH[1]}; fi
    find_address "$record"
    address_of[$name]=$value
  done <<<"${bodies[0]//'{"Id":'/$'\n'}"
  see_proxy "${bodies[1]:-}"
}

# see_proxy JSON: notes what the engine says of the proxy's container.
see_proxy() {
  local value
  field "${1#*'"State":{'}" Status
  proxy_state=$value
  field "$1" Pid
  process=${value:-0}
  field "$1" PidsLimit
  proxy_limit=$value
}

# keys [SERVICE]: the keys of all routes, or of those to a service's containers.
# shellcheck disable=SC2120 # switch.sh gives it one
keys() {
  local file container
  for file in "$records"/@*; do
    [ -e "$file" ] || continue
    read -r container _ <"$file" || true
    if [ $# = 0 ] || [ "${service_of[${container:--}]:-}" = "$1" ]; then echo "${file##*/}"; fi
  done
}

# target_of KEY: the container that gets the route's requests.
target_of() {
  local container=
  [ ! -e "$records/$1" ] || read -r container _ <"$records/$1" || true
  echo "$container"
}

# has_route CONTAINER: whether the container gets the requests of a route, or serves without the proxy (services.sh).
has_route() {
  local file container
  for file in "$records"/@* "$serving"/*; do
    [ -e "$file" ] || continue
    read -r container _ <"$file" || true
    [ "$container" != "$1" ] || return 0
  done
  return 1
}

# containers_of SERVICE, is_running CONTAINER, exists CONTAINER
containers_of() {
  local name
  for name in "${names[@]}"; do
    if [ "${service_of[$name]:-}" = "$1" ]; then echo "$name"; fi
  done
}
is_running() { [ "${state_of[${1:--}]:-}" = running ]; }
exists() { [ -n "${state_of[${1:--}]:-}" ]; }

# recorded CONTAINER: sets `drain` and `grace`, seconds, to what its service was switched with.
recorded() {
  local file container
  for file in "$records"/@* "$serving"/*; do
    [ -e "$file" ] || continue
    read -r container _ drain grace _ <"$file" || true
    [ "$container" != "$1" ] || return 0
  done
  drain=$default_drain grace=$default_grace
}

# record KEY [TEXT]: records a route, or forgets it.
record() {
  if [ -z "${2:-}" ]; then
    rm -f "$records/$1"
    return
  fi
  [ -d "$records" ] || mkdir -p "$records"
  # Names that begin with a dot are no routes.
  printf '%s\n' "$2" >"$records/.new"
  mv -fT "$records/.new" "$records/$1"
}

# ask COMMAND…: what HAProxy's processes answer. The master passes on what begins with @1 to the worker that serves, and
# what begins with @!PID to an earlier one that still finishes its requests. False if there is no answer.
ask() {
  if [ ! -e "/proc/${process:-0}/ns/net" ]; then
    engine "/containers/$proxy/json"
    see_proxy "${bodies[0]:-}"
  fi
  [ "$process" != 0 ] || return
  # shellcheck disable=SC2016 # the other bash expands it
  nsenter --net="/proc/$process/ns/net" bash -c '
    exec 3<>/dev/tcp/127.0.0.1/9998 && printf "%s\n" "$@" quit >&3 || exit
    IFS= read -r -d "" -t 15 answer <&3 || [ $? = 1 ] || exit
    printf %s "$answer"' - "$@" 2>/dev/null
}

# read_process COMMAND…: gives these commands to the proxy's process. Then it sets `servers`, and `loaded` to the mark of
# the configuration that the process has read.
read_process() {
  local answer cell name takes
  loaded=
  answer=$(ask "$@" '@1 show info' '@1 show servers state') && [[ $answer = *srv_admin_state* ]] || return
  servers=() server=() loaded=none
  while read -r -a cell; do
    case "${cell[0]:-} ${cell[1]:-}" in
      'description: '*) loaded=${cell[1]:-none} ;;
      *' r:'*)
        name=${cell[1]}/${cell[3]} takes=no
        case "${cell[5]} ${cell[6]}" in '2 0' | '2 4') takes=yes ;; esac
        servers+=("$name")
        server[$name]="${cell[4]} ${cell[18]} $takes"
        ;;
    esac
  done <<<"$answer"
}

# wanted: sets `targets` to the servers that the records ask for, a line each: backend, container, address, port and, if
# it has one, its limit of requests. The address of one that does not run is 0.0.0.0.
wanted() {
  local file container port address options limit backend
  targets=
  ! is_edge || return 0
  for file in "$records"/@*; do
    [ -e "$file" ] || continue
    read -r container port _ _ options <"$file" || continue
    limit=
    if [[ $options =~ maxConnections=([0-9]+) ]]; then limit=" ${BASH_REMATCH[1]}"; fi
    address=0.0.0.0
    if is_running "$container"; then address=${address_of[$container]:-$address}; fi
    name_backend "${file##*/}"
    targets="$targets$backend $container $address $port$limit"$'\n'
  done
}

# steps: sets `commands` to what brings the process's servers to what is wanted. False if new requests already go where
# they should: it then only has servers that nothing leads to any more.
steps() {
  local backend container address port limit name had had_port takes needed=1
  local -A kept=()
  commands=()
  while read -r backend container address port limit; do
    [ -n "$backend" ] || continue
    name=$backend/$container kept[$backend/$container]=yes
    read -r had had_port takes <<<"${server[$name]:-}" || true
    if [ -z "$had" ]; then
      commands+=("@1 add server $name $address:$port${limit:+ maxconn $limit}") needed=0
    elif [ "$address" != 0.0.0.0 ] && [ "$had:$had_port" != "$address:$port" ]; then
      commands+=("@1 set server $name addr $address port $port") needed=0
    fi
    if [ "$address" != 0.0.0.0 ] && [ "$takes" != yes ]; then
      commands+=("@1 set server $name state ready") needed=0
    elif [ "$address" = 0.0.0.0 ] && [ "$takes" = yes ]; then
      commands+=("@1 set server $name state maint")
    fi
  done <<<"$targets"
  for name in "${servers[@]}"; do
    [ -z "${kept[$name]:-}" ] || continue
    case "${server[$name]}" in *' yes') commands+=("@1 set server $name state drain") needed=0 ;; esac
    is_running "${name##*/}" || commands+=("@1 set server $name state maint" "@1 del server $name")
  done
  return "$needed"
}

# say: has the proxy's process take what comes on standard input.
say() { [ "${process:-0}" != 0 ] && talk "$process"; }

# exchange FILE: has the process take a certificate and its key for those that it has under this name.
exchange() {
  local name=$served_inside/${1##*/} answer
  answer=$(
    { printf '@1 set ssl cert %s <<\n' "$name" && cat "$1" && printf '\n@1 commit ssl cert %s\nquit\n' "$name"; } | say
  ) || return
  [[ $answer = *Success!* ]]
}

# certify: brings the proxy's certificates to those of this host, and sets `added` to the names of new ones, which the
# configuration lacks yet. Sets `reread` if only a reload has the process take one.
certify() {
  local file name
  reread=false added=()
  for file in "$certificates"/*.pem; do
    [ -e "$file" ] || continue
    name=${file##*/}
    if [ ! -e "$served/$name" ]; then
      added+=("$name")
    elif [ "$(<"$file")" = "$(<"$served/$name")" ]; then
      continue
    elif [ -n "$loaded" ] && ! exchange "$file"; then
      reread=true
    fi
    mkdir -p "$served"
    chgrp "$reader" "$served"
    chmod 0750 "$served"
    install -m 0640 -g "$reader" "$file" "$served/.$name.new"
    mv -fT "$served/.$name.new" "$served/$name"
  done
}

# keep_certificates SERVICE…: removes the certificates of all other services.
keep_certificates() {
  local file name
  for file in "$certificates"/*.pem "$served"/*.pem; do
    [ -e "$file" ] || continue
    name=${file##*/}
    is_ours "$name" || continue
    case " $* " in *" ${name%.pem} "*) ;; *) rm -f "$file" ;; esac
  done
}

# fits MARK: whether the process has read the configuration with this mark, and new requests go where they should.
fits() { [ "$loaded" = "$1" ] && ! steps; }

# apply: brings configuration and process to the records, once the process has been read. False, with the reason, if
# HAProxy refuses.
apply() {
  local text mark answer reread added
  certify
  wanted
  text=$(configuration "$targets")
  mark=$(mark_of <<<"$text")
  text=${text/MARK/$mark}
  if [ "$text" != "$(cat "$configured" 2>/dev/null)" ]; then
    [ -d "${configured%/*}" ] || folder "${configured%/*}" 0755
    (umask 027 && printf '%s\n' "$text" >"$configured.new")
    guard "$configured.new" "$text"
    # It has taken all of it already, but for other servers.
    if [ "$loaded" != "$mark" ] && ! answer=$(docker exec "$proxy" haproxy -c -f "$inside.new" 2>&1); then
      sed '/^\[NOTICE\]/d' <<<"$answer" >&2
      rm -f "$configured.new" "${added[@]/#/$served/}"
      return 1
    fi
    mv -fT "$configured.new" "$configured" || return
  fi
  : >/run/slipway-warm
  [ -n "$loaded" ] || return
  if [ "$loaded" = "$mark" ] && ! $reread; then
    steps || [ "${#commands[@]}" != 0 ] || return 0
    read_process "${commands[@]}" && fits "$mark" && return
  fi
  answer=$(ask reload) || true
  for _ in $(seq 100); do
    if read_process && fits "$mark"; then return; fi
    sleep 0.05
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
  read_process || true
  apply
}

# adopt: records the routes of kamal-proxy, which older versions had here. Its oldest ones have no record.
adopt() {
  local key container port
  while read -r key container port; do
    [ -e "$records/$key" ] || record "$key" "$container $port $default_drain $default_grace"
  done < <(docker exec "$proxy" kamal-proxy list 2>/dev/null | awk '
    { gsub(/\033\[[0-9;]*m/, "") }
    $4 ~ /:[0-9]+$/ { split($4, target, ":"); print $2 == "*" ? "@" : "@" $2, target[1], target[2] }')
}

# prepare: makes the configuration of a proxy that does not run yet; one that runs takes it.
prepare() {
  local text reread added
  folder "${configured%/*}" 0755
  look_around
  if read_process; then
    apply
    return
  fi
  adopt
  certify
  wanted
  text=$(configuration "$targets")
  put_configuration <<<"${text/MARK/$(mark_of <<<"$text")}"
}

# cold: nothing is known of the containers' addresses before the engine has started them.
cold() {
  [ ! -e "$configured" ] || is_edge || put_configuration < <(
    sed -E 's/^(  server [^ ]+ )[^ ]+(:[0-9]+).*/\10.0.0.0\2 disabled/' "$configured"
  )
}

# start_proxy: starts the proxy if it was stopped or killed. Docker itself leaves it stopped then.
start_proxy() {
  case "$proxy_state" in
    running) ;;
    # The engine waits longer with each try.
    restarting) docker restart "$proxy" >/dev/null || true ;;
    '') fail 6 "$(hostname) has no proxy: the container $proxy was removed" "\`./slip up --refresh\` makes it again" ;;
    paused) docker unpause "$proxy" >/dev/null ;;
    *) docker start "$proxy" >/dev/null || fail 6 "the proxy of $(hostname) does not start; the reason is above" ;;
  esac
}

# restore: looks around; the proxy then runs, and has each recorded route.
restore() { locked restore_now; }
restore_now() {
  local former
  look_around
  if ! read_process; then
    # The file may have been lost, or changed by hand so that HAProxy cannot read it.
    former=$(mark_of <"$configured" 2>/dev/null) || former=
    prepare
    # Whoever began with the former file does not get over it, and its end would count as a crash.
    if [ "$proxy_state" = running ] && [ "$former" != "$(mark_of <"$configured")" ]; then proxy_state=restarting; fi
    start_proxy
    for _ in $(seq 200); do
      ! read_process || break
      sleep 0.05
      look_around
    done
    [ -n "$loaded" ] || fail 6 "the proxy of $(hostname) does not answer; \`docker logs $proxy\` on that host shows why"
  fi
  apply || fail 6 "the proxy of $(hostname) did not take its routes back; its reason is above"
}

# busy SERVER…: sets `requests` to how many of them the proxy's processes still have with these servers, given as
# BACKEND/CONTAINER, and `workers` to these processes.
busy() {
  local answer cell commands=()
  requests=unknown workers=()
  if ! answer=$(ask 'show proc' '@1 show stat -1 4 -1'); then
    # A process that has ended has none.
    [ -e "/proc/${process:-0}/ns/net" ] || requests=0
    return 0
  fi
  while read -r -a cell; do
    if [ "${cell[1]:-}" = worker ]; then workers+=("@!${cell[0]}"); fi
  done <<<"$answer"
  # Earlier ones may still have some.
  if [ "${#workers[@]}" -gt 1 ]; then
    answer=$(ask "${workers[@]/%/ show stat -1 4 -1}") || return 0
  fi
  requests=0
  while IFS=, read -r -a cell; do
    case " $* " in *" ${cell[0]:-}/${cell[1]:-} "*) requests=$((requests + cell[4])) ;; esac
  done <<<"$answer"
}

# finish SECONDS SERVER…: waits until these servers have no request left, for so long, then cuts what is left.
finish() {
  local deadline=$((SECONDS + $1)) name worker requests workers commands=()
  shift
  [ $# != 0 ] || return 0
  while busy "$@" && [ "$requests" != 0 ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      for worker in "${workers[@]}"; do
        for name in "$@"; do commands+=("$worker shutdown sessions server $name"); done
      done
      break
    fi
    sleep 0.05
  done
  for name in "$@"; do commands+=("@1 set server $name state maint" "@1 del server $name"); done
  ask "${commands[@]}" >/dev/null || true
}

# retire CONTAINER GRACE: ends a container, unless it has a route. Another run may be giving its routes away just now: so
# this waits until that is done, and until the last request is through.
retire() {
  local name former=() drain grace
  locked true
  ! has_route "$1" || return 0
  recorded "$1"
  read_process || true
  for name in "${servers[@]}"; do
    if [ "${name##*/}" = "$1" ]; then former+=("$name"); fi
  done
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
  local grace=$2 pid signal handled=0 mask value
  engine "/containers/$1/json"
  field "${bodies[0]:-}" Pid
  pid=$value
  field "${bodies[0]:-}" StopSignal
  signal=$value
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
  engine "POST /containers/$1/stop?t=$grace"
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
