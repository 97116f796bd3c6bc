#!/usr/bin/env bash
# Jobs, for switch.sh: services that run by a timer of systemd, and end.
#
# Each run has a twin (once.sh) of the service's container, which itself never runs. The twins of the last runs stay, for
# their logs. How the last run ended is in `.NAME.last`: its status, when it began and ended, and its twin.
# shellcheck disable=SC2034,SC2154,SC2317 # variables and functions of switch.sh
set -euo pipefail

# A file for each job: CONTAINER LIMIT STOP_GRACE [PIDS].
jobs=/etc/slipway/jobs
job_label=slipway.job
units=/etc/systemd/system
# How many runs leave their logs.
kept_runs=5
# Seconds until a run that a person asks for has its container.
run_patience=60

# plan_job SERVICE CONTAINER LIMIT STOP_GRACE [pids=NUMBER] -- CALENDAR…: runs the container's command at these times.
plan_job() {
  local service=$1 container=$2 limit=$3 stop_grace=$4 pids='' event events='' unit=slipway-job-$1
  shift 4
  case "$1" in pids=*)
    pids=${1#*=}
    shift
    ;;
  esac
  shift
  for event in "$@"; do
    systemd-analyze calendar "$event" >/dev/null 2>&1 ||
      fail 6 "$service on $(hostname): systemd knows no such time: $event" \
        "to mend it: choose another slipway:services.$service.timeZone, or install the package tzdata there"
    events="${events}OnCalendar=$event"$'\n'
  done
  # It may have been a service that runs all the time.
  look_around
  retire_service "$service"
  folder "$jobs" 0755
  put "$jobs/$service" 0644 <<<"$container $limit $stop_grace $pids"
  put "$units/$unit.service" 0644 <<<"[Unit]
Description=The job $service of Slipway
After=docker.service

[Service]
Type=oneshot
ExecStart=/usr/local/lib/slipway/switch --run-job $service"
  put "$units/$unit.timer" 0644 <<<"[Unit]
Description=When the job $service of Slipway runs

[Timer]
${events}Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target"
  systemctl daemon-reload
  systemctl -q enable "$unit.timer"
  systemctl restart "$unit.timer"
}

# forget_job SERVICE: ends a job, with its timer and what its runs have left.
forget_job() {
  local unit=slipway-job-$1 name
  [ -e "$jobs/$1" ] || return 0
  systemctl -q disable --now "$unit.timer" 2>/dev/null || true
  systemctl stop "$unit.service" 2>/dev/null || true
  for name in $(docker ps -aq --filter "label=$job_label=$1"); do
    end "$name" 10
    docker rm -f "$name" >/dev/null 2>&1 || true
  done
  rm -f "$jobs/$1" "$jobs/.$1.last" "$units/$unit.service" "$units/$unit.timer"
  systemctl daemon-reload
}

# run_job SERVICE: one run. It fails if the command does, so systemd says so, too.
run_job() {
  local service=$1 container limit stop_grace pids name status=0 started=$EPOCHSECONDS message
  read -r container limit stop_grace pids <"$jobs/$service"
  own_limit=$pids
  if [ -n "$(docker ps -q --filter "label=$job_label=$service")" ]; then
    fail 75 "the last run of $service has not ended, so there is no other one"
  fi
  for name in $(docker ps -aq --filter "label=$job_label=$service" | tail -n "+$kept_runs"); do
    docker rm -f "$name" >/dev/null 2>&1 || true
  done
  name=slipway-job-$service-$(printf '%x' "$(now)")
  writes=true
  twin "$container" "$name" "$job_label" "$service"
  put "$jobs/.$service.last" 0644 <<<"running $started 0 $name"
  if message=$(docker start "$name" 2>&1 >/dev/null </dev/null); then
    timeout "$limit" docker wait "$name" >/dev/null 2>&1 </dev/null || status=$?
    if [ "$status" = 124 ]; then
      end "$name" "$stop_grace"
      status=timeout
    else
      # What systemd or a person has ended is not known here.
      status=$(docker container inspect "$name" --format '{{if .State.Running}}lost{{else}}{{.State.ExitCode}}{{end}}') || status=lost
    fi
  else
    echo "slipway: $service cannot be started: $message" >&2
    status=127
  fi
  put "$jobs/.$service.last" 0644 <<<"$status $started $EPOCHSECONDS $name"
  [ "$status" = 0 ] || fail 1 "the run of $service ended with $status; \`./slip logs $service\` shows its output"
}

# run_job_now SERVICE: one run for a person, by the same unit as the timer's, so that there are never two. Its output and
# exit status are this command's.
run_job_now() {
  local service=$1 unit=slipway-job-$1.service former='' status='' twin='' state
  [ ! -e "$jobs/.$service.last" ] || read -r _ _ _ former <"$jobs/.$service.last"
  case "$(systemctl show --property ActiveState --value "$unit")" in
    activ* | deactivating | reloading)
      fail 75 "a run of $service has not ended, so there is no other one; \`./slip logs $service\` shows its output"
      ;;
  esac
  systemctl start --no-block "$unit"
  for _ in $(seq "$((run_patience * 10))"); do
    [ ! -e "$jobs/.$service.last" ] || read -r status _ _ twin <"$jobs/.$service.last"
    [ -z "$twin" ] || [ "$twin" = "$former" ] || break
    sleep 0.1
  done
  if [ -z "$twin" ] || [ "$twin" = "$former" ]; then
    fail 125 "the run of $service on $(hostname) does not begin; \`systemctl status $unit\` there shows why"
  fi
  # An engine that is asked for the output of a container that has not started yet shows none, and does not wait.
  while [ "$status" = running ] && [ "$(docker container inspect "$twin" --format '{{.State.Status}}')" = created ]; do
    [ "$(systemctl show --property ActiveState --value "$unit")" = activating ] || break
    read -r status _ <"$jobs/.$service.last"
    sleep 0.1
  done
  docker logs --follow "$twin" </dev/null || true
  # The run notes its end a moment later.
  while [ "$status" = running ]; do
    state=$(systemctl show --property ActiveState --value "$unit")
    read -r status _ <"$jobs/.$service.last"
    [ "$state" = activating ] || [ "$status" != running ] || status=lost
    [ "$status" != running ] || sleep 0.1
  done
  case "$status" in
    timeout) fail 124 "the run of $service took longer than slipway:services.$service.timeLimit allows, and was ended" ;;
    lost) fail 125 "nobody knows how the run of $service ended" ;;
    *) exit "$status" ;;
  esac
}
