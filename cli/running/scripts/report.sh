#!/usr/bin/env bash
# Prints what this host runs and serves: lines of fields that are separated by tabs. It changes nothing.
#
# cli/running/fleet.py sends it on standard input at each question, so a new version of it changes no host.
# cli/running/host_report.py reads the lines.
#
# Values:
#   CHECKS   a line for each service: its name, its health path and, if it has one, its domain, separated by tabs
#   USAGE    not empty to hear how much CPU and memory the containers use, with cgroup.sh ahead of this; unset otherwise
#   SIZES    not empty to hear what the containers have written; unset otherwise, since the engine has to count it
set -uo pipefail
export LC_ALL=C

: "${CHECKS?}"
proxy=slipway-proxy
# Seconds for one answer of the engine or of a container.
limit=5

say() {
  local IFS=$'\t'
  printf '%s\n' "$*"
}

engine() { timeout "$limit" docker "$@" 2>/dev/null; }

# Every file system that an engine, a container's log, the registry or a command over SSH writes to.
disks() {
  local path paths=()
  for path in / /etc /run /tmp /usr/local /var /var/log /var/lib/docker /var/lib/containerd /var/lib/slipway/registry; do
    [ ! -d "$path" ] || paths+=("$path")
  done
  timeout "$limit" df -B1 --output=used,avail,itotal,iavail,target "${paths[@]}" 2>/dev/null |
    tail -n +2 | sort -u | while read -r used free inodes free_inodes path; do
    say disk "$path" "$used" "$free" "$inodes" "$free_inodes"
  done
}

# behind: the hosts of each service behind an edge, and whether it finds the service well there.
behind() {
  awk '{ split($0, cell, " ") }
    cell[2] ~ /^e:/ { print "behind\t" substr(cell[2], 3) "\t" cell[4] "\t" (cell[6] == 2 && cell[7] == 0 ? "up" : "down") }'
}

# The last run of the timer that removes images, on the registry's host.
retention() {
  local unit=slipway-retention
  [ -e "/etc/systemd/system/$unit.service" ] || return 0
  say retention "$(systemctl is-active "$unit.timer")" "$(systemctl show -P Result "$unit.service")" \
    "$(systemctl show -P ExecMainExitTimestamp "$unit.service")" \
    "$(timeout 2 journalctl -u "$unit.service" -t retention -n 1 -o cat --no-pager 2>/dev/null | tr '\t\n' '  ')"
}

# The engine warns about an API that anyone may use.
about_engine() {
  local info warning
  info=$(engine info --format '{{.ServerVersion}}{{range .Warnings}}{{println}}{{.}}{{end}}') || return
  say engine "${info%%$'\n'*}"
  grep -o 'API is accessible on .*' <<<"$info" | while read -r warning; do say open "$warning"; done
}

containers() {
  local format='{{.Name}}	{{.Id}}	{{.Image}}	{{js (index .Config.Labels "slipway.role")}}	{{
    js (index .Config.Labels "slipway.service")}}	{{.State.Status}}	{{.State.ExitCode}}	{{.State.OOMKilled}}	{{
    .RestartCount}}	{{.Created}}	{{.State.StartedAt}}	{{.State.FinishedAt}}	{{.State.Pid}}	{{
    range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'
  xargs -r timeout "$limit" docker inspect --format "$format" 2>/dev/null
}

# What each of these containers has written into its own files, in bytes. Those of several million files take too long.
sizes() {
  [ -n "${SIZES:-}" ] || return 0
  xargs -r timeout "$limit" docker inspect --size --format 'written	{{.Name}}	{{.SizeRw}}' 2>/dev/null
}

# What each running container uses: its memory, and its CPU time now and when the input ends. `docker stats` needs a second
# for that; this takes the time that the host needs for its other answers.
usage() {
  local name pid time memory running
  running=$(engine ps -q --no-trunc --filter label=slipway.stack |
    xargs -r timeout "$limit" docker inspect --format '{{.Name}} {{.State.Pid}}' 2>/dev/null)
  while read -r name pid; do
    if [ -z "$name" ] || ! read -r time memory < <(use "$pid"); then continue; fi
    say memory "$name" "$memory"
    say cpu "$name" "$EPOCHREALTIME" "$time"
  done <<<"$running"
  cat >/dev/null
  while read -r name pid; do
    if [ -z "$name" ] || ! read -r time memory < <(use "$pid"); then continue; fi
    say cpu "$name" "$EPOCHREALTIME" "$time"
  done <<<"$running"
}

# routes LISTED: what gets requests from the proxy: service, container, its address and its port. The container's label
# names the service. Of its networks the proxy's is the first one.
routes() {
  awk -F '\t' '
    FNR == NR { service[$1] = $5; split($NF, networks, " "); address[$1] = networks[1]; next }
    { split($0, cell, " "); name = "/" cell[4] }
    # A server that drains, or whose container does not run, has another state.
    cell[2] ~ /^r:/ && cell[6] == 2 && cell[7] ~ /^[04]$/ && !seen[name]++ {
      print (service[name] == "" ? cell[2] : service[name]) "\t" cell[4] "\t" cell[19] "\t" address[name]
    }' <(printf '%s\n' "$1") -
}

# own_services LISTED: the services that no proxy asks, with the container of each if it runs (components/scripts/services.sh).
own_services() {
  local file container
  for file in /etc/slipway/services/*; do
    [ -e "$file" ] || continue
    read -r container _ <"$file" || continue
    ! grep -q "^/$container	.*	running	" <<<"$1" || say route "${file##*/}" "$container" -
  done
}

# Jobs: their timers, and how the last run of each ended (components/scripts/jobs.sh).
jobs() {
  local file name status started ended
  for file in /etc/slipway/jobs/*; do
    [ -e "$file" ] || continue
    name=${file##*/} status='' started='' ended=''
    read -r status started ended _ <"${file%/*}/.$name.last" 2>/dev/null || true
    say job "$name" "$(systemctl is-active "slipway-job-$name.timer")" "$(systemctl is-active "slipway-job-$name.service")" \
      "$status" "$started" "$ended" "$(systemctl show -P NextElapseUSecRealtime "slipway-job-$name.timer")"
  done
}

# Backups: their timers, and how the last one of each ended (components/scripts/backup.sh).
backups() {
  local file name last
  for file in /etc/slipway/backups/*; do
    [ -e "$file" ] || continue
    name=${file##*/} last=''
    IFS= read -r last <"${file%/*}/.$name.last" 2>/dev/null || true
    say backup "$name" "$(systemctl is-active "slipway-backup-$name.timer")" "$(systemctl is-active "slipway-backup-$name.service")" \
      "$(systemctl show -P NextElapseUSecRealtime "slipway-backup-$name.timer")" "$(stat -c %Y "/etc/systemd/system/slipway-backup-$name.timer")" "$last"
  done
}

# Release commands that had begun, and whose end nobody has noted (components/scripts/once.sh).
interrupted() {
  local file how twin
  for file in /etc/slipway/releases/*; do
    [ -e "$file" ] || continue
    while read -r _ how twin; do
      [ "$how" = begun ] || continue
      case "$(engine container inspect "$twin" --format '{{.State.Status}} {{.State.ExitCode}}')" in
        running* | created* | 'exited 0') ;;
        *) say interrupted "${file##*/}" ;;
      esac
    done <"$file"
  done
}

# Services that gave no answer any more: how often they were restarted for it, when last, whether it is so now, and why
# (components/scripts/hangs.sh).
hung() {
  local file name count last is_now why hangs=/etc/slipway/hangs silent=/run/slipway-silent
  local -A told=()
  for file in "$silent"/* "$hangs"/*; do
    name=${file##*/}
    if [ ! -e "$file" ] || [ -n "${told[$name]:-}" ]; then continue; fi
    told[$name]=yes count=0 last=0 is_now=no why=
    read -r count last _ why 2>/dev/null <"$hangs/$name"
    if [ -e "$silent/$name" ]; then
      is_now=yes
      read -r why 2>/dev/null <"$silent/$name"
    fi
    say hung "$name" "$count" "$last" "$is_now" "$why"
  done
}

# ask_proxy PROCESS: the servers of the proxy's process, by HAProxy's runtime API (components/scripts/routes.sh).
ask_proxy() {
  local answer
  # It may just be starting.
  for _ in 1 2 3; do
    # shellcheck disable=SC2016 # the other bash expands it
    answer=$(timeout "$limit" nsenter --net="/proc/$1/ns/net" bash -c '
      exec 3<>/dev/tcp/127.0.0.1/9998 && printf "@1 show servers state\nquit\n" >&3 && cat <&3' 2>/dev/null)
    if [[ $answer = *srv_admin_state* ]]; then
      echo "$answer"
      return
    fi
    sleep 0.3
  done
  return 1
}

# healthy SERVICE ADDRESS PORT: asks a container for its health as a roll-out does, without the proxy.
healthy() {
  local name path domain answer status=0
  while IFS=$'\t' read -r name path domain; do
    [ "$name" = "$1" ] || continue
    # -g: brackets of a query are no pattern.
    answer=$(curl -g -s -o /dev/null -w '%{http_code}' --max-time "$limit" ${domain:+-H "Host: $domain"} \
      "http://$2:$3$path") || status=$?
    say health "$1" "$answer" "$status" "$path"
  done <<<"$CHECKS"
}

# What the containers of a stack are, from which images, and which of them serve.
about_containers() {
  local ids listed line listing process service container port address file
  ids=$(engine ps -aq --no-trunc --filter label=slipway.stack) || return
  sizes <<<"$ids" &
  listed=$(containers <<<"$ids")
  while IFS= read -r line; do [ -z "$line" ] || say container "$line"; done <<<"$listed"
  cut -sf 3 <<<"$listed" | sort -u | xargs -r timeout "$limit" \
    docker image inspect --format 'image	{{.Id}}{{range .RepoDigests}}	{{.}}{{end}}{{println}}made	{{.Id}}	{{.Created}}' \
    2>/dev/null
  say listed
  process=$(awk -F '\t' -v name="/$proxy" '$1 == name && $6 == "running" { print $13 }' <<<"$listed")
  [ -n "$process" ] && listing=$(ask_proxy "$process") || return
  say proxy
  behind <<<"$listing"
  for file in /etc/slipway/maintenance/*; do [ ! -e "$file" ] || say maintenance "${file##*/}"; done
  for file in /etc/slipway/stopped/*; do [ ! -e "$file" ] || say stopped "${file##*/}" "$(<"$file")"; done
  own_services "$listed"
  while IFS=$'\t' read -r service container port address; do
    say route "$service" "$container" "$port"
    healthy "$service" "$address" "$port" &
  done < <(routes "$listed" <<<"$listing")
}

main() {
  local state others
  say clock "$EPOCHREALTIME"
  state=$(systemctl is-active docker.service)
  say unit "$state"
  disks
  retention
  jobs 2>/dev/null
  backups 2>/dev/null
  hung 2>/dev/null
  # An engine that is stopped would be started by the first question, through its socket.
  if [ "$state" = active ]; then
    [ -z "${USAGE:-}" ] || exec {others}> >(usage)
    about_engine &
    interrupted &
    about_containers
    [ -z "${USAGE:-}" ] || exec {others}>&-
    wait
  fi
  say end
}

main </dev/null
