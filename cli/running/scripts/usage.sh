#!/usr/bin/env bash
# Prints what the stack's running containers use, again and again: lines of fields that are separated by tabs. It changes
# nothing. cli/running/usage.py sends it on standard input, behind cgroup.sh, and reads the lines.
#
# Values:
#   SAMPLES   how many times; 0 until the connection ends
#   PAUSE     seconds between two
set -uo pipefail
export LC_ALL=C

: "${SAMPLES?}" "${PAUSE?}"

say() {
  local IFS=$'\t'
  printf '%s\n' "$*"
}

main() {
  local number=0 name service pid time memory
  while :; do
    say begin "$EPOCHREALTIME"
    timeout 5 docker ps -q --no-trunc --filter label=slipway.stack 2>/dev/null |
      xargs -r timeout 5 docker inspect --format \
        '{{.Name}} {{with index .Config.Labels "slipway.service"}}{{.}}{{else}}{{index $.Config.Labels "slipway.role"}}{{end}} {{.State.Pid}}' 2>/dev/null |
      while read -r name service pid; do
        read -r time memory < <(use "$pid") || continue
        say use "${name#/}" "$service" "$time" "$memory"
      done
    say end
    number=$((number + 1))
    [ "$number" != "$SAMPLES" ] || break
    sleep "$PAUSE"
  done
}

main </dev/null
