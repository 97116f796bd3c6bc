#!/usr/bin/env bash
# Services that no proxy asks, for switch.sh; and services of which two versions must not run at once.
#
# Which container serves is recorded in a file, named after the service, in the form of routes.sh: CONTAINER - DRAIN GRACE.
# shellcheck disable=SC2034,SC2154,SC2317 # variables and functions of switch.sh
set -euo pipefail

serving=/etc/slipway/services
# The check of a service that no proxy asks: tcp:PORT, command or none. Empty for a service behind the proxy.
check=
# Whether the old version ends before the new one starts.
stops_first=false
# The limit of processes of the new container, if it has one of its own.
own_limit=
# The containers that ended for this.
stopped=()

# own_target SERVICE: the container that serves, for a service that no proxy asks.
own_target() {
  local name=
  [ ! -e "$serving/$1" ] || read -r name _ <"$serving/$1" || true
  echo "$name"
}

# own_state: what serves without the new container.
own_state() {
  local name
  name=$(own_target "$service")
  if [ -z "$name" ]; then
    echo "there is no previous version, so nothing runs yet"
  elif is_running "$name" && [ "${#stopped[@]}" != 0 ]; then
    echo "the previous version was started again"
  elif is_running "$name"; then
    echo "the previous version still runs"
  else
    echo "the previous version, container $name, does not run"
  fi
}

# make_way: ends the old versions. slipway-keep would start them again, but for the file that names this process.
make_way() {
  local name
  for name in $(containers_of "$service"); do
    if [ "$name" = "$container" ] || ! is_running "$name"; then continue; fi
    stopped+=("$name")
    echo "$$" >"/run/slipway-away-$name"
    end "$name" "$stop_grace"
  done
  trap 'gone_away' EXIT
}

gone_away() {
  local name
  for name in "${stopped[@]}"; do rm -f "/run/slipway-away-$name"; done
}

# may_start CONTAINER: whether it may run now. None of a stopped service may. One that a switch has ended for its successor may not while that switch runs;
# nor one that writes to a volume or has a port, beside another version. A switch that was killed leaves both.
may_start() {
  local other
  ! is_halted "${service_of[$1]:-}" || return
  ! kill -0 "$(cat "/run/slipway-away-$1" 2>/dev/null)" 2>/dev/null || return
  [ -n "$(docker container inspect "$1" --format \
    '{{join .HostConfig.Binds " "}}{{range $port, $_ := .HostConfig.PortBindings}}{{$port}}{{end}}' 2>/dev/null)" ] || return 0
  for other in $(containers_of "${service_of[$1]:-}"); do
    [ "$other" = "$1" ] || ! is_running "$other" || return
  done
}

# bring_back: starts the old versions again, since the new one is none.
bring_back() {
  local name
  gone_away
  for name in "${stopped[@]}"; do docker start "$name" </dev/null >/dev/null 2>&1 || true; done
  look_around
  [ -n "$check" ] || [ "${#stopped[@]}" = 0 ] || locked apply_now || true
}

# find_test: sets `test` to the container's own health check, its words. False if it has none.
find_test() {
  mapfile -d '' -t test < <(docker container inspect "$container" --format \
    '{{with .Config.Healthcheck}}{{range .Test}}{{.}}{{"\x00"}}{{end}}{{end}}')
  [ "${#test[@]}" = 0 ] || unset 'test[-1]'
  case "${test[0]:-NONE}" in
    NONE) return 1 ;;
    CMD-SHELL) test=(/bin/sh -c "${test[1]}") ;;
    *) test=("${test[@]:1}") ;;
  esac
}

read_test() {
  find_test ||
    give_up "its image has no HEALTHCHECK" "set slipway:services.$service.health to a command, a TCP port or none"
}

# note_own_check: as the service was checked, it is checked from now on.
note_own_check() {
  case "$check" in
    tcp:*) note_check tcp "${check#tcp:}" ;;
    command) note_check command ;;
    *) forget_check "$service" ;;
  esac
}

is_well() {
  case "$check" in
    tcp:*) timeout 5 bash -c "</dev/tcp/$address/${check#tcp:}" 2>/dev/null ;;
    command) said=$(timeout 30 docker exec "$container" "${test[@]}" 2>&1 </dev/null) ;;
    *) [ "$(now)" -ge "$((begun + 1000000))" ] ;;
  esac
}

not_well() {
  local remedy='' why
  case "$check" in
    tcp:*)
      { read -r why && read -r remedy; } < <(why_refused "$pid" "${check#tcp:}" "$service" "$health_timeout")
      remedy=${remedy/.port to/.health to tcp:}
      give_up "it accepted no connection on port ${check#tcp:} for $health_timeout s: $why" "$remedy"
      ;;
    *)
      said=$(tail -n 1 <<<"$said" | LC_ALL=C tr -d '\000-\037\177' | cut -c 1-300)
      give_up "its health check failed for $health_timeout s${said:+: $said}" \
        "if it needs longer to start, set slipway:services.$service.healthTimeout to more than $health_timeout"
      ;;
  esac
}

# wait_until_well: as wait_until_healthy, by the service's own check.
wait_until_well() {
  local deadline=$(($(now) + health_timeout * 1000000))
  while :; do
    look
    if [ "$status" != running ] || [ "$restarts" != "$first_restarts" ]; then crashed; fi
    ! is_well || break
    [ "$(now)" -lt "$deadline" ] || not_well
    sleep 0.1
  done
}

# start_service SERVICE CONTAINER HEALTH_TIMEOUT STOP_GRACE [OPTION…]
start_service() {
  service=$1 container=$2 health_timeout=$3 stop_grace=$4
  local word name begun said='' test=()
  for word in "${@:5}"; do
    case "$word" in
      check=*) check=${word#*=} ;;
      order=stop-first) stops_first=true ;;
      pids=*) own_limit=${word#*=} ;;
      pause=*) pause=${word#*=} ;;
    esac
  done
  folder "$serving" 0755
  look_around
  remove_leftovers
  forget_job "$service"
  if is_halted "$service"; then
    limit_processes
    put "$serving/$service" 0600 <<<"$container - $stop_grace $stop_grace"
    note_own_check
    end_others
    say_halted
    return
  fi
  ! $stops_first || make_way
  start
  [ "$check" != command ] || read_test
  begun=$(now)
  wait_until_well
  name=$(own_target "$service")
  if [ "$name" != "$container" ]; then
    begin_watch
    before=("$(cat "$serving/$service" 2>/dev/null || true)")
  fi
  put "$serving/$service" 0600 <<<"$container - $stop_grace $stop_grace"
  watch
  note_healthy
  note_own_check
  end_others
}

# say_halted: for the end of `up`.
say_halted() { echo "slipway: $service on $(hostname) is stopped, and stays so"; }

# end_others: ends all containers of the service but the new one.
end_others() {
  local name
  look_around
  for name in $(containers_of "$service"); do
    if [ "$name" != "$container" ] && is_running "$name"; then end "$name" "$stop_grace"; fi
  done
}

# halt SERVICE: ends its containers, once they have answered what they are at. They stay so until `resume`: through
# restarts of the engine and of the machine, and through roll-outs.
halt() {
  local name one former drain grace
  folder "$halted" 0755
  [ -e "$halted/$1" ] || put "$halted/$1" 0600 <<<"$EPOCHSECONDS"
  # The proxy answers in its place.
  restore
  for name in $(containers_of "$1"); do
    case "${state_of[$name]}" in running | restarting | paused) ;; *) continue ;; esac
    recorded "$name"
    read_process || true
    former=()
    for one in "${servers[@]}"; do
      if [ "${one##*/}" = "$name" ]; then former+=("$one"); fi
    done
    finish "$drain" "${former[@]}"
    end "$name" "$grace"
  done
  restore
}

# resume SERVICE: starts what is to serve. Whether it is well is another question.
resume() {
  local name message
  rm -f "$halted/$1"
  look_around
  for name in $(containers_of "$1"); do
    has_route "$name" || continue
    message=$(docker start "$name" 2>&1 >/dev/null </dev/null) || fail 6 "$1 on $(hostname) cannot be started: $message"
  done
  restore
}
