#!/usr/bin/env bash
# Services that hang after their roll-out, for switch.sh: their container runs, and its check is not answered any more.
# It is restarted within half a minute, and less and less often if that does not help. slipway-keep runs `switch --tend`.
#
# An answer of HTTP that says that something is wrong is an answer: a restart would not mend what the service misses.
# shellcheck disable=SC2034,SC2154 # variables and functions of switch.sh
set -euo pipefail

# How each service is checked: CONTAINER HEALTH_TIMEOUT STOP_GRACE CHECK, which is http PORT PATH [NAME], tcp PORT or command.
checked=/etc/slipway/checked
# Of each service whose container was restarted for this: COUNT (in a row) MOMENT (of the last time) CONTAINER REASON.
hangs=/etc/slipway/hangs
# Of each service that gives no answer now, the reason.
silent=/run/slipway-silent
# The containers that have answered since the machine's start. Others may only be slow to start.
answered=/run/slipway-answered
# Seconds that an answer may take; without an answer, until the container hangs; that it has to be well, so that another
# time is the first one again.
answer_limit=5 hangs_after=12 well_again=600

# note_check WORD…: the new container is checked like this from now on.
note_check() {
  local other=
  mkdir -p "$checked"
  # Names with a dot are no services.
  printf '%s\n' "$container $health_timeout $stop_grace $*" >"$checked/.$service"
  mv -fT "$checked/.$service" "$checked/$service"
  [ ! -e "$hangs/$service" ] || read -r _ _ other _ <"$hangs/$service" || true
  # Another version may hang no more.
  [ "$other" = "$container" ] || rm -f "$hangs/$service" "$silent/$service"
}

# forget_check SERVICE: nothing of it is to run.
forget_check() { rm -f "$checked/$1" "$hangs/$1" "$silent/$1"; }

# tend: looks after all services, until there is a new version of this script.
tend() {
  local begun=/run/slipway-tend file service
  declare -A tenders=()
  mkdir -p "$silent" "$answered"
  rm -f "$silent"/*
  : >"$begun"
  until [ "$0" -nt "$begun" ]; do
    for file in "$checked"/*; do
      service=${file##*/}
      [ "$service" != '*' ] || continue
      if [ -z "${tenders[$service]:-}" ] || ! kill -0 "${tenders[$service]}" 2>/dev/null; then
        tend_service "$service" &
        tenders[$service]=$!
      fi
    done
    sleep 3
  done
  [ "${#tenders[@]}" = 0 ] || kill "${tenders[@]}" 2>/dev/null || true
}

# tend_service SERVICE: looks after one.
tend_service() {
  local service=$1 container='' health_timeout stop_grace kind port path domain
  local known='' born='' born_at=0 before began since='' failures=0 well_since='' pause=3 why='' test=() tested=''
  local status='' pid='' address=''
  while sleep "$pause"; do
    [ -e "$checked/$service" ] || return 0
    read -r container health_timeout stop_grace kind port path domain <"$checked/$service" || true
    pause=3 began=$EPOCHSECONDS
    # One that serves no more, or does not run, is for others.
    if ! has_route "$container" || is_halted "$service"; then
      born=''
      continue
    fi
    # As long as it answers, the engine need not be asked.
    if [ -n "$born" ] && [ "$known" = "$container" ] && answers; then
      note_answer
      continue
    fi
    before="$container $born $address"
    look 2>/dev/null
    if [ "$status" != running ] || [ -z "$address" ]; then
      born=''
      continue
    fi
    if [ "$container $pid $address" != "$before" ]; then
      known=$container born=$pid born_at=$EPOCHSECONDS since='' failures=0 well_since='' began=$EPOCHSECONDS
      if answers; then
        note_answer
        continue
      fi
    fi
    [ -e "$answered/$container" ] || continue
    # It may still start.
    if [ -z "$well_since" ] && [ "$((EPOCHSECONDS - born_at))" -lt "$health_timeout" ]; then continue; fi
    since=${since:-$began} failures=$((failures + 1)) pause=$((EPOCHSECONDS - began < 2))
    if [ "$failures" -lt 3 ] || [ "$((EPOCHSECONDS - since))" -lt "$hangs_after" ]; then continue; fi
    echo "$why" >"$silent/$service"
    revive
  done
}

note_answer() {
  since='' failures=0 well_since=${well_since:-$EPOCHSECONDS}
  [ -e "$answered/$container" ] || : >"$answered/$container"
  [ ! -e "$silent/$service" ] || rm -f "$silent/$service"
}

# answers: whether the container answers its check. Else it sets `why`.
answers() {
  local answer=0
  case "$kind" in
    http)
      curl -gs --noproxy '*' --path-as-is -o /dev/null --max-time "$answer_limit" ${domain:+-H "Host: $domain"} \
        "http://$address:$port$path" || answer=$?
      case "$answer" in
        7) why="it refuses connections on port $port" ;;
        28) why="$path takes more than $answer_limit s" ;;
        *) why="$path gets no HTTP answer" ;;
      esac
      ;;
    tcp)
      timeout "$answer_limit" bash -c "</dev/tcp/$address/$port" 2>/dev/null || answer=$?
      why="it accepts no connection on port $port"
      ;;
    command)
      # Docker's own command takes more of the processor than a question by HTTP.
      pause=5
      [ "$tested" = "$container" ] || find_test || return 0
      tested=$container
      timeout "$answer_limit" docker exec "$container" "${test[@]}" >/dev/null 2>&1 </dev/null || answer=$?
      why="its health check fails"
      [ "$answer" != 124 ] || why="its health check takes more than $answer_limit s"
      ;;
  esac
  [ "$answer" = 0 ]
}

# revive: restarts the container, unless it was restarted for the same just now: then once a minute has passed, then two,
# then four, up to half an hour.
revive() {
  local count=0 last=0 value name former=()
  # As `look` has heard it.
  field "${bodies[0]#*'"RestartPolicy":{'}" Name
  [ "$value" != no ] || return 0
  [ ! -e "$hangs/$service" ] || read -r count last _ <"$hangs/$service" || true
  if [ -n "$well_since" ] && [ "$((since - well_since))" -ge "$well_again" ]; then count=0; fi
  if [ "$((EPOCHSECONDS - last))" -lt "$(least_gap "$count")" ]; then return 0; fi
  mkdir -p "$hangs"
  printf '%s\n' "$((count + 1)) $EPOCHSECONDS $container $why" >"$hangs/.$service"
  mv -fT "$hangs/.$service" "$hangs/$service"
  echo "restarting $container, which hangs: $why"
  look_around
  # Visitors hear at once that nothing answers, those who wait for an answer, too.
  read_process || true
  for name in "${servers[@]}"; do
    if [ "${name##*/}" = "$container" ]; then
      former+=("@1 set server $name state maint" "@1 shutdown sessions server $name")
    fi
  done
  [ "${#former[@]}" = 0 ] || ask "${former[@]}" >/dev/null || true
  end "$container" "$stop_grace"
  look_around
  ! may_start "$container" || engine "POST /containers/$container/start"
  rm -f "$silent/$service"
}

# least_gap COUNT: seconds that have to lie between two restarts, after so many in a row.
least_gap() {
  case "$1" in
    0) echo 0 ;;
    1 | 2 | 3 | 4 | 5) echo "$((60 << ($1 - 1)))" ;;
    *) echo 1800 ;;
  esac
}
