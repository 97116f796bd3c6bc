#!/usr/bin/env bash
# Commands that run once and end, for switch.sh: a service's release command, and those of people.
#
# Such a command runs in a twin: a fresh container with the image of another one, its environment, limits, networks and files.
# A twin has no port, and no volume or directory to write to, since the service itself may write there.
# shellcheck disable=SC2034,SC2154,SC2317 # variables and functions of switch.sh
set -euo pipefail

# A file for each service, a line for each version: KEY, how it ended (begun, done or failed), and the twin.
releases=/etc/slipway/releases
release_label=slipway.release

# json TEXT: sets `value` to the text as a string of JSON.
json() {
  value=${1//\\/\\\\}
  value=${value//\"/\\\"}
  value=${value//$'\n'/\\n}
  value=${value//$'\t'/\\t}
  value=${value//$'\r'/\\r}
  value="\"$value\""
}

# What a twin has besides, as members of the engine's request: `more` of the container, `more_of_host` of its host.
more='' more_of_host=''
# Whether a twin may write where its container may.
writes=false

# twin CONTAINER NAME LABEL SERVICE [WORD…]: makes a twin of a container, which runs these words, or what the container
# would. No secret is an argument.
twin() {
  local container=$1 name=$2 label=$3 service=$4 word words='' value binds='' bind network networks body answer
  shift 4
  for word in "$@"; do
    json "$word"
    words="$words${words:+,}$value"
  done
  mapfile -t networks < <(docker container inspect "$container" --format \
    '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' | grep -x '..*' | grep -vx bridge)
  network=${networks[0]:-}
  while IFS= read -r bind; do
    [ -n "$bind" ] || continue
    $writes || case "$bind" in *:ro) ;; *:rw) bind=${bind%:rw}:ro ;; *) bind=$bind:ro ;; esac
    json "$bind"
    binds="$binds${binds:+,}$value"
  done < <(docker container inspect "$container" --format '{{range .HostConfig.Binds}}{{println .}}{{end}}')
  if [ -z "$words" ]; then
    words=$(docker container inspect "$container" --format '"Entrypoint":{{json .Config.Entrypoint}},"Cmd":{{json .Config.Cmd}}')
  else
    words="\"Entrypoint\":[$words],\"Cmd\":[]"
  fi
  # The words are no part of the template, where braces have a meaning.
  body="{$words,\"Healthcheck\":{\"Test\":[\"NONE\"]},$more$(
    docker container inspect "$container" --format '"Image":{{json .Image}},"Env":{{json .Config.Env}},
      "User":{{json .Config.User}},"WorkingDir":{{json .Config.WorkingDir}},
      "Labels":{"slipway.stack":{{json (index .Config.Labels "slipway.stack")}},"'"$label"'":"'"$service"'"},
      "HostConfig":{"Memory":{{.HostConfig.Memory}},"MemoryReservation":{{.HostConfig.MemoryReservation}},
      "NanoCpus":{{.HostConfig.NanoCPUs}},"ShmSize":{{.HostConfig.ShmSize}},"Init":{{json .HostConfig.Init}},
      "CapAdd":{{json .HostConfig.CapAdd}},"CapDrop":{{json .HostConfig.CapDrop}},
      "SecurityOpt":{{json .HostConfig.SecurityOpt}},"ReadonlyRootfs":{{.HostConfig.ReadonlyRootfs}},
      "Tmpfs":{{json .HostConfig.Tmpfs}},"Ulimits":{{json .HostConfig.Ulimits}},"Sysctls":{{json .HostConfig.Sysctls}},
      "Devices":{{json .HostConfig.Devices}},"Dns":{{json .HostConfig.DNS}},"ExtraHosts":{{json .HostConfig.ExtraHosts}},
      "LogConfig":{{json .HostConfig.LogConfig}},'
  )\"Binds\":[$binds],\"NetworkMode\":\"${network:-bridge}\",\"PidsLimit\":${own_limit:-$processes},$more_of_host\"RestartPolicy\":{\"Name\":\"no\"}}}"
  answer=$(curl -gsS --noproxy '*' --unix-socket /var/run/docker.sock -H 'Content-Type: application/json' -d @- \
    "http://docker/containers/create?name=$name" <<<"$body")
  case "$answer" in
    '{"Id":'*) ;;
    *) fail 6 "$(hostname) cannot make a container for the command: $answer" ;;
  esac
  for network in "${networks[@]:1}"; do docker network connect "$network" "$name" >/dev/null; done
  # Files that were put into the container, and that no volume has.
  docker cp "$container:/run/secrets" - 2>/dev/null </dev/null | docker cp - "$name:/run" >/dev/null 2>&1 || true
}

# released KEY: sets `how` and `twin` to how this version's release command ended last; empty if it never ran.
released() {
  local key rest
  how='' twin=''
  [ -e "$releases/$service" ] || return 0
  while read -r key rest; do
    [ "$key" != "$1" ] || read -r how twin <<<"$rest" || true
  done <"$releases/$service"
}

# note_release KEY HOW [TWIN]: notes how it ended, for the last hundred versions.
note_release() {
  folder "$releases" 0755
  { grep -v "^$1 " "$releases/$service" 2>/dev/null | tail -n 99 || true; echo "$*"; } >"$releases/.$service"
  mv -fT "$releases/.$service" "$releases/$service"
}

# refuse_release REASON [REMEDY]: ends the roll-out before anything has switched.
refuse_release() {
  local logs=''
  [ -z "$twin" ] || logs=$(last_words "$twin") || true
  look_around
  # The engine may write the last lines a moment after the end.
  [ -n "$logs" ] || [ -z "$twin" ] || { sleep 0.5 && logs=$(last_words "$twin"); } || true
  echo "slipway: $service on $(hostname): $1"
  [ -z "${2:-}" ] || echo "slipway: to mend it: $2"
  if [ -n "$(running_of "$service")" ]; then
    echo "slipway: the previous version continues to serve everywhere"
  else
    echo "slipway: there is no previous version, so nothing serves yet"
  fi
  echo "slipway: the command's last log lines:"
  echo "${logs:-  (it logged nothing)}"
  exit 6
} >&2

# running_of SERVICE: its containers that run.
running_of() {
  local name
  for name in $(containers_of "$1"); do
    if is_running "$name"; then echo "$name"; fi
  done
}

# interrupted: nobody knows how far the command came.
interrupted() {
  refuse_release "its release command was interrupted, and nobody knows how far it came" \
    "see what it has done; then \`./slip up --release-again $service\` runs it again. If it may always run again, set slipway:services.$service.releaseAgain to true"
}

# end_of TWIN: waits for its end, and notes it. Ends the roll-out if it has failed.
end_of() {
  local left=$limit status=0 state
  twin=$1
  timeout "$left" docker wait "$twin" >/dev/null 2>&1 </dev/null || status=$?
  if [ "$status" = 124 ]; then
    end "$twin" "$stop_grace"
    note_release "$key" failed "$twin"
    refuse_release "its release command ran for longer than $limit s, and was ended" \
      "if it needs longer, set slipway:services.$service.releaseTimeout to more than $limit"
  fi
  # Nobody knows if the engine does not: it goes down, for example.
  state=$(docker container inspect "$twin" --format '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' 2>/dev/null) || interrupted
  case "$state" in
    'exited 0 '*) note_release "$key" 'done' "$twin" ;;
    'exited '*' true')
      note_release "$key" failed "$twin"
      refuse_release "its release command was out of memory" "set slipway:services.$service.memory to more MiB"
      ;;
    # A signal: somebody killed it, or its machine went down.
    'exited 137 '* | 'exited 143 '* | 'exited 255 '*) interrupted ;;
    'exited '*)
      note_release "$key" failed "$twin"
      status=${state#exited } status=${status%% *}
      refuse_release "its release command ended with exit status $status"
      ;;
    *) interrupted ;;
  esac
}

# release SERVICE CONTAINER KEY TIMEOUT STOP_GRACE [OPTION…] -- WORD…: runs the command in a twin of the new container,
# unless it has run for this version. Options: again=yes lets an interrupted one run again; known=yes says that the version
# has served before; pids=NUMBER.
release() {
  service=$1 container=$2 key=$3 limit=$4 stop_grace=$5
  local again=no known=no how twin name message
  shift 5
  while [ "$1" != -- ]; do
    case "$1" in
      again=yes) again=yes ;;
      known=yes) known=yes ;;
      pids=*) own_limit=${1#*=} ;;
    esac
    shift
  done
  shift
  exec 7>"/run/slipway-release-$service.lock"
  # An update that was killed has left it running.
  flock -n 7 || { echo "the release command of $service still runs, for an earlier update: waiting for its end" && flock 7; }
  released "$key"
  case "$how$known" in
    done*) return ;;
    yes)
      note_release "$key" 'done' -
      return
      ;;
    begun*)
      case "$(docker container inspect "$twin" --format '{{.State.Status}} {{.State.ExitCode}}' 2>/dev/null || true)" in
        running* | 'exited 0')
          end_of "$twin"
          return
          ;;
        # It was made, and never started.
        created*) ;;
        *) [ "$again" = yes ] || interrupted ;;
      esac
      ;;
  esac
  for name in $(docker ps -aq --filter "label=$release_label=$service"); do docker rm -f "$name" >/dev/null 2>&1 || true; done
  twin=slipway-release-$service-$(printf '%x' "$(now)")
  twin "$container" "$twin" "$release_label" "$service" "$@"
  note_release "$key" begun "$twin"
  if ! message=$(docker start "$twin" 2>&1 >/dev/null </dev/null); then
    note_release "$key" failed "$twin"
    refuse_release "its release command cannot be started: ${message//$'\n'/ }"
  fi
  end_of "$twin"
}

# release_again SERVICE: a release command that was interrupted may run again.
release_again() {
  service=$1
  [ -e "$releases/$service" ] || return 0
  sed -i 's/^\([^ ]* \)begun /\1failed /' "$releases/$service"
}

# serves SERVICE: the container of the service that serves here.
serves() {
  local key name
  look_around
  name=$(own_target "$1")
  for key in $(keys "$1"); do name=$(target_of "$key"); done
  is_running "$name" || fail 125 "$1 does not run on $(hostname); \`./slip ps\` shows what runs"
  echo "$name"
}

# run_inside SERVICE [terminal=yes] -- WORD…: runs a command in the container that serves.
run_inside() {
  local container options=(-i)
  container=$(serves "$1") || exit
  shift
  if [ "$1" = terminal=yes ]; then
    options+=(-t)
    shift
  fi
  shift
  exec docker exec "${options[@]}" "$container" "$@"
}

# run_beside SERVICE [terminal=yes] -- WORD…: runs a command in a twin of the container that serves, or of a job's, which goes
# afterwards.
run_beside() {
  local container name service=$1 has_terminal=false
  # Of a job nothing serves, but its template has all that a twin needs.
  if [ -e "$jobs/$service" ]; then
    read -r container _ <"$jobs/$service"
  else
    container=$(serves "$service") || exit
  fi
  shift
  if [ "$1" = terminal=yes ]; then
    has_terminal=true
    shift
  fi
  shift
  own_limit=$(docker container inspect "$container" --format '{{.HostConfig.PidsLimit}}')
  case "$own_limit" in '' | *[!0-9]*) own_limit=$processes ;; esac
  name=slipway-run-$service-$(printf '%x' "$(now)")
  more="\"Tty\":$has_terminal,\"OpenStdin\":true,\"StdinOnce\":true," more_of_host='"AutoRemove":true,'
  twin "$container" "$name" slipway.run "$service" "$@"
  exec docker start -ai "$name"
}
