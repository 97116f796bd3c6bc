#!/usr/bin/env bash
# Switches a service's traffic on this host to a new container, once that container is healthy.
# The old container serves until then; it continues to serve if the new one does not become healthy.
#
#   switch SERVICE CONTAINER PORT HEALTH_PATH HEALTH_TIMEOUT DRAIN_TIMEOUT STOP_GRACE [NAME…] [OPTION…]
#                             times in seconds. Options: path=PATH strip=yes canonical=NAME timeout=SECONDS maxBody=MIB
#                             maxConnections=NUMBER allow=NETWORK,…
#                             order=stop-first ends the old container before the new one starts; pids=NUMBER limits processes
#                             pause=SECONDS for which the new one has to stay well, before the old one ends (watch.sh)
#                             https=PORT (of visitors) hsts=SECONDS auth=yes rate=REQUESTS/SECONDS
#   switch --maintenance SERVICE on|off [ADDRESS…]
#                             visitors get the page on standard input in place of the service, but for these addresses
#   switch --halt SERVICE     ends the service's containers, which stay so through roll-outs and restarts
#   switch --resume SERVICE   starts them again
#   switch --start SERVICE CONTAINER HEALTH_TIMEOUT STOP_GRACE check=CHECK [OPTION…]
#                             does so with a service that no proxy asks; services.sh says what a CHECK is
#   switch --release SERVICE CONTAINER KEY TIMEOUT STOP_GRACE [OPTION…] -- WORD…
#                             runs a version's release command, once (once.sh)
#   switch --release-again SERVICE
#                             one that was interrupted may run again
#   switch --job SERVICE CONTAINER LIMIT STOP_GRACE [pids=NUMBER] -- CALENDAR…
#                             runs a service at these times of systemd (jobs.sh)
#   switch --run-job SERVICE  one run of it
#   switch --run-job-now SERVICE
#                             one run of it for a person, with its output and exit status
#   switch --exec SERVICE [terminal=yes] -- WORD…
#                             runs a command in the container that serves, with this process's input and output
#   switch --run SERVICE [terminal=yes] -- WORD…
#                             does so in a fresh container of the same version
#   switch --remove SERVICE   takes the service's routes out of the proxy, and ends its containers
#   switch --only KEY…        does so with all routes but these (routes.sh says what a key is); trusted=NETWORK,… sets whom
#                             the proxy believes who the client is; certificates=SERVICE,… says whose stay, and so do
#                             passwords=SERVICE,… and pages=SERVICE,… of those for errors; acme=yes goes on to answer
#                             challenges; edges=EDGE,… says who stands before this host; of=PREFIX speaks for the services
#                             of a guest alone, whose names begin so, and none of these does for the others
#   switch --certificates     has the proxy take what certificates.sh, visitors.sh and acme.sh have brought
#   switch --restore          starts the proxy and the serving containers if they were stopped, and restores lost routes
#   switch --may-start CONTAINER
#                             whether it may run now, as its exit status: two of one service may not share a volume or port
#   switch --tend             restarts containers that hang, until there is a new version of this script (hangs.sh)
#   switch --prepare          makes the proxy's configuration before the proxy itself is made
#   switch --cold             before the engine starts with the machine: forgets the containers' addresses
#   switch --stop             ends the containers of all services
#
# frontend.sh, backends.sh, limits.sh, routes.sh, services.sh, watch.sh, hangs.sh, once.sh, jobs.sh and unhealthy.sh come
# ahead of it.
# shellcheck disable=SC2034,SC2154 # variables of and for the others
set -euo pipefail

# Processes and threads of a container. A limit of a user (`nproc`) would count all containers with that user together.
processes=4096

# Of each service, the images that were healthy on this host, the newest last. host-images.sh reads these files.
healthy=/var/lib/slipway/healthy

# note_healthy: notes the image of the new container. A few more than any rule keeps would be no use.
note_healthy() {
  local line lines=()
  [[ $image =~ ^sha256:[0-9a-f]{64}$ ]] || return 0
  mkdir -p "$healthy"
  if [ -e "$healthy/$service" ]; then
    while read -r line; do [ "$line" = "$image" ] || lines+=("$line"); done <"$healthy/$service"
  fi
  lines+=("$image")
  [ "${#lines[@]}" -le 100 ] || lines=("${lines[@]: -100}")
  printf '%s\n' "${lines[@]}" >"$healthy/$service.new"
  mv -fT "$healthy/$service.new" "$healthy/$service"
}

# retire_service SERVICE: it serves no more.
retire_service() {
  local removed
  mapfile -t removed < <(keys "$1")
  drop "${removed[@]}"
  forget_check "$1"
  rm -f "$serving/$1"
  end_all "$(containers_of "$1")"
}

remove() {
  look_around
  retire_service "$1"
  forget_job "$1"
  rm -f "$releases/$1"
  rm -rf "/etc/slipway/files/$1"
  [ ! -e "$healthy/$1" ] || mv -fT "$healthy/$1" "$healthy/@$1"
  rm -f "$maintained/$1" "$halted/$1" "$pages/"*".$1.html"
}

# maintenance SERVICE on|off [ADDRESS…]: kept through restarts and roll-outs, until it is off.
maintenance() {
  local service=$1 page='' text file
  if [ "$2" = on ]; then
    text=$(cat)
    # Another page has another name, so that the configuration differs and is read again.
    page=$(sha256sum <<<"$text" | cut -c 1-16).$service.html
    folder "$pages" 0755
    put "$pages/$page" 0644 <<<"$text"
    put "$maintained/$service" 0600 <<<"$page ${*:3}"
  else
    rm -f "$maintained/$service"
  fi
  restore
  for file in "$pages/"*".$service.html"; do
    [ "$file" = "$pages/$page" ] || rm -f "$file"
  done
}

# is_ours NAME: whether a service, or something with its name in front, is of the stack that `only` works for: a guest, or the
# host's own stack. Guests are review environments on the hosts of another stack.
is_ours() {
  if [ -n "${guest:-}" ]; then [[ $1 = "$guest"* ]]; else [[ ! $1 =~ ^pr-[1-9][0-9]*- ]]; fi
}

only() {
  local key networks='' certified='' protected='' paged='' challenged='' fronts='' former=() guest=''
  for key in "$@"; do
    case "$key" in
      trusted=*) networks=${key#*=} networks=${networks//,/ } ;;
      edges=*) fronts=${key#*=} fronts=${fronts//,/ } ;;
      certificates=*) certified=${key#*=} certified=${certified//,/ } ;;
      passwords=*) protected=${key#*=} protected=${protected//,/ } ;;
      pages=*) paged=${key#*=} paged=${paged//,/ } ;;
      acme=*) challenged=${key#*=} ;;
      of=*) guest=${key#*=} ;;
    esac
  done
  # What is for the host as a whole is the host's own stack's.
  if [ -z "$guest" ]; then
    folder "${trusted%/*}" 0755
    put "$trusted" 0644 <<<"$networks"
    keep_edges "$fronts"
    [ -n "$challenged" ] || rm -f "$thumbprint"
  fi
  # shellcheck disable=SC2086 # one word a service
  keep_certificates $certified
  keep_visitors "$protected" "$paged"
  restore
  for key in $(keys); do
    is_ours "$(target_of "$key")" || continue
    case " $* " in *" $key "*) ;; *) former+=("$key") ;; esac
  done
  drop "${former[@]}"
}

stop_all() {
  # It would start the containers again.
  systemctl stop slipway-keep.service 2>/dev/null || true
  end_all "$(docker ps --filter "label=$label" --format '{{.Names}}')"
}

restore_all() {
  local key container file
  look_around
  # The engine starts those whose policy is `always` with the machine.
  for container in "${names[@]}"; do
    if is_halted "${service_of[$container]}" && is_running "$container"; then end "$container" "$default_grace"; fi
  done
  for key in $(keys); do
    container=$(target_of "$key")
    ! exists "$container" || is_running "$container" || ! may_start "$container" || docker start "$container" >/dev/null || true
  done
  for file in "$serving"/*; do
    [ -e "$file" ] || continue
    read -r container _ <"$file" || true
    is_running "$container" || ! may_start "$container" || docker start "$container" >/dev/null || true
  done
  restore
}

# look: the new container's state.
look() {
  engine "/containers/$container/json"
  see "${bodies[0]:-}"
}

# see JSON: notes what the engine says of the new container.
see() {
  local value
  field "${1#*'"State":{'}" Status
  status=$value
  field "$1" Image
  image=$value
  field "$1" ExitCode
  exit_code=$value
  field "$1" RestartCount
  restarts=$value
  field "$1" OOMKilled
  out_of_memory=$value
  field "$1" Pid
  pid=$value
  find_address "$1"
  address=$value
}

# still_serving: what serves without the new container.
still_serving() {
  local key name own=
  if [ -n "$check" ]; then
    own_state
    return
  fi
  for key in $(keys "$service"); do
    is_running "$(target_of "$key")" || continue
    own="$own $(shown "$key")"
    if [ "$key" = "${routes[0]}" ]; then
      echo "the previous version continues to serve"
      return
    fi
  done
  name=$(target_of "${routes[0]}")
  if is_running "$name"; then
    echo "the service ${service_of[$name]:-} continues to serve $(shown "${routes[0]}")"
  elif [ -n "${own// /}" ]; then
    echo "the previous version continues to serve:$own"
  elif [ -n "$name" ]; then
    echo "the previous version, container $name, does not run, so nothing serves"
  else
    echo "there is no previous version, so nothing serves yet"
  fi
}

# shown KEY: a route for people.
shown() {
  local name=${1#@}
  echo "${name:-what no other service serves}" | tr % /
}

# give_up REASON [REMEDY]: ends the roll-out. The new container is stopped, so that it works on nothing. It stays until
# the next switch, for its log.
give_up() {
  local logs reason=$1 remedy=${2:-}
  if is_watched && [[ $reason != *"$moment" ]]; then reason="$reason, $moment"; fi
  logs=$(last_words "$container") || true
  give_back
  case "$remedy$1$logs" in
    *[Oo]'peration not permitted'*)
      remedy="if it needs a part of root's rights, name it in slipway:services.$service.capabilities"
      ;;
    *'ead-only file system'*) remedy="let it write to /tmp only, or leave out slipway:services.$service.readOnly" ;;
  esac
  end "$container" "$stop_grace"
  bring_back
  echo "slipway: $service on $(hostname): $reason"
  [ -z "$remedy" ] || echo "slipway: to mend it: $remedy"
  echo "slipway: $(still_serving)"
  echo "slipway: the container's last log lines:"
  echo "${logs:-  (it logged nothing)}"
  exit 6
} >&2

# remove_leftovers: what failed and killed roll-outs of the service left.
remove_leftovers() {
  local name serves
  serves=$(keys "$service")$(own_target "$service")
  for name in $(containers_of "$service"); do
    if [ "$name" = "$container" ] || has_route "$name"; then continue; fi
    # Without a route, one of those that run may be the previous version.
    if [ -n "$serves" ] || ! is_running "$name"; then
      retire "$name" "$stop_grace"
      ! has_route "$name" || continue
      docker rm -f "$name" >/dev/null 2>&1 || true
      unset "service_of[$name]" "state_of[$name]"
    fi
  done
}

# limit_processes: as `start` does, of a container that is not started now.
limit_processes() {
  engine "POST /containers/$container/update {\"PidsLimit\":${own_limit:-$processes}}"
}

# start: starts the new container, which Pulumi only makes: a killed update leaves none that works beside the old one.
start() {
  local message limit="{\"PidsLimit\":$processes}" requests=()
  [ "$proxy_limit" = "$processes" ] || requests+=("POST /containers/$proxy/update $limit")
  requests+=("/containers/$container/json" "POST /containers/$container/update {\"PidsLimit\":${own_limit:-$processes}}")
  # Nothing happens if it runs already.
  requests+=("POST /containers/$container/start" "/containers/$container/json")
  engine "${requests[@]}"
  [ "${codes[-3]:-}" = 200 ] || echo "slipway: $(hostname) cannot limit the processes of $container" >&2
  see "${bodies[-4]:-}"
  first_restarts=$restarts
  case "${codes[-2]:-}" in
    2?? | 304) ;;
    *)
      message=${bodies[-2]:-}
      message=${message#'{"message":"'}
      message=${message%'"}'}
      message=${message//'\n'/ }
      give_up "it cannot be started: ${message//'\"'/'"'}"
      ;;
  esac
  see "${bodies[-1]:-}"
}

# look_and_ask: the new container's state, and what its health check answers, by one process. The path goes as it is
# written. curl prints 000 if there is no answer; its exit status says why.
look_and_ask() {
  local said line json=''
  curl_status=0
  said=$(curl "${engine_options[@]}" "http://docker/containers/$container/json" --next \
    -g --path-as-is -s -o /dev/null -w 'health %{http_code} %{redirect_url}\n' --max-time 5 \
    ${domain:+-H "Host: $domain"} "http://$address:$port$path" 2>/dev/null) || curl_status=$?
  answer='' redirect=''
  while IFS= read -r line; do
    case "$line" in
      'health '*) read -r _ answer redirect <<<"$line" || true ;;
      'code '*) ;;
      *) json=$json$line ;;
    esac
  done <<<"$said"
  see "$json"
}

crashed() {
  # A restarted container no longer reports its exit code; read it between exit and restart. `docker wait` may report
  # the restart's.
  for _ in $(seq 50); do
    [ "$status" = running ] || break
    sleep 0.05
    look
  done
  [ "$status" != running ] || exit_code=unknown
  if [ "$out_of_memory" = true ]; then
    give_up "it crashed with exit code $exit_code, out of memory, $moment" \
      "set slipway:services.$service.memory to more MiB, or let it use less"
  elif [ "$exit_code" = 0 ]; then
    give_up "it ended with exit code 0, $moment" \
      "let the container's first process stay in the foreground for as long as the service runs"
  fi
  give_up "it crashed with exit code $exit_code, $moment"
}

unhealthy() {
  local why remedy='' setting="slipway:services.$service" lasted="for $health_timeout s"
  case "$curl_status" in
    0)
      why="its health check $path answered HTTP $answer $lasted"
      case "$answer" in
        3??)
          why="$why, a redirect to $redirect"
          remedy="let $path itself answer with 2xx, or set $setting.health to a path that does"
          ;;
        404) remedy="set $setting.health to a path that answers with 2xx" ;;
        400 | 403 | 421)
          [ -n "$domain" ] || remedy="if it answers only for its own name, set $setting.domain to that name"
          ;;
      esac
      ;;
    7)
      { read -r why && read -r remedy; } < <(why_refused "$pid" "$port" "$service" "$health_timeout")
      why="it refused the connection on port $port $lasted: $why"
      ;;
    28)
      why="its health check $path timed out, $lasted: it takes more than 5 s"
      remedy="let $path answer within 5 s"
      ;;
    *)
      why="its health check $path got no HTTP answer $lasted (curl exit status $curl_status)"
      remedy="let it answer plain HTTP on port $port"
      ;;
  esac
  give_up "$why" "$remedy"
}

# The proxy could wait too, but it cannot tell a crash from a slow start.
now() { echo "${EPOCHREALTIME/[.,]/}"; }
wait_until_healthy() {
  local deadline=$(($(now) + health_timeout * 1000000))
  answer='' redirect='' curl_status=7
  while :; do
    # One that has ended again has no address.
    if [ "$status" = running ] && [ -n "$address" ]; then look_and_ask; else look; fi
    if [ "$status" != running ] || [ "$restarts" != "$first_restarts" ]; then crashed; fi
    case "$answer" in 2??) return ;; esac
    [ "$(now)" -lt "$deadline" ] || unhealthy
    sleep 0.05
  done
}

# hand_over: gives the routes to the new container, all at once.
hand_over() {
  local key text number=0
  before=()
  look_around
  read_process || true
  for key in "${routes[@]}"; do
    text=
    [ ! -e "$records/$key" ] || read -r text <"$records/$key" || true
    before+=("$text")
    record "$key" "$container $port $drain_timeout $stop_grace${options:+ $options}"
  done
  apply && return
  for key in "${routes[@]}"; do
    record "$key" "${before[number]}"
    number=$((number + 1))
  done
  read_process || true
  apply || true
  return 1
}

roll_out() {
  service=$1 container=$2 port=$3 path=$4 health_timeout=$5 drain_timeout=$6 stop_grace=$7
  local word name key old former=() givers=() prefix=
  domain='' options='' routes=()
  for word in "${@:8}"; do
    case "$word" in
      path=*) prefix=${word#path=} options="$options $word" ;;
      order=stop-first) stops_first=true ;;
      pids=*) own_limit=${word#*=} ;;
      pause=*) pause=${word#*=} ;;
      *=*) options="$options $word" ;;
      *) routes+=("@$word") ;;
    esac
  done
  options=${options# }
  # A host that runs services is no edge, and may have been one.
  rm -f "$fronted"
  # It asks for its health by the name that visitors use.
  # shellcheck disable=SC2086 # one word an option
  domain=$(option canonical $options)
  domain=${domain:-${8:-}}
  case "$domain" in *=*) domain= ;; '*'*) domain=$service${domain#'*'} ;; esac
  [ "${#routes[@]}" != 0 ] || routes=(@)
  routes=("${routes[@]/%/${prefix//\//%}}")
  restore
  remove_leftovers
  forget_job "$service"
  if is_halted "$service"; then
    limit_processes
    locked hand_over || give_up "the proxy did not take it; its reason is above"
    note_check http "$port" "$path" "$domain"
    end_others
    say_halted
    return
  fi
  ! $stops_first || make_way
  start
  wait_until_healthy

  for key in "${routes[@]}"; do
    old=$(target_of "$key")
    [ "$old" = "$container" ] || is_moved=true
    if [ -z "$old" ] || [ "$old" = "$container" ]; then continue; fi
    former+=("$(backend_of "$key")/$old")
    givers+=("$old")
  done
  ! $is_moved || begin_watch
  locked hand_over || give_up "the proxy did not take it; its reason is above"
  $is_moved || before=()
  finish "$drain_timeout" "${former[@]}"
  watch
  note_healthy
  note_check http "$port" "$path" "$domain"

  # Other services may have switched meanwhile.
  look_around
  # The previous version ends now. Pulumi removes it, and its log can be read until then.
  for name in $(containers_of "$service"); do
    if [ "$name" != "$container" ] && is_running "$name"; then retire "$name" "$stop_grace"; fi
  done
  # A service that gave its name to this one, and has another one by now, needs its old container no more.
  for old in "${givers[@]}"; do
    name=${service_of[$old]:-}
    if [ -n "$name" ] && [ "$name" != "$service" ] && [ -n "$(keys "$name")" ]; then retire "$old" "$stop_grace"; fi
  done
}

main() {
  case "$1" in
    --remove) remove "$2" ;;
    --maintenance) maintenance "${@:2}" ;;
    --halt) halt "$2" ;;
    --resume) resume "$2" ;;
    --may-start) look_around && may_start "$2" ;;
    --start) start_service "${@:2}" ;;
    --release) release "${@:2}" ;;
    --job) plan_job "${@:2}" ;;
    --run-job) run_job "$2" ;;
    --run-job-now) run_job_now "$2" ;;
    --exec) run_inside "${@:2}" ;;
    --run) run_beside "${@:2}" ;;
    --release-again) release_again "$2" ;;
    --only) only "${@:2}" ;;
    --restore) restore_all ;;
    --certificates) restore ;;
    --tend) tend ;;
    --prepare) locked prepare ;;
    --cold) cold ;;
    --stop) stop_all ;;
    *) roll_out "$@" ;;
  esac
}

main "$@"
