#!/usr/bin/env bash
# Prints what the stack's running containers use, again and again: lines of fields that are separated by tabs. It changes
# nothing. cli/running/usage.py sends it on standard input, and reads the lines.
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

# sample NAME SERVICE PID: its CPU time since its start, in microseconds, and its memory in bytes, without the files that
# the kernel would drop first.
sample() {
  local cpu='' folder time used cached
  # Version 2 has one tree; version 1 one for each controller, and other names in it.
  folder=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$3/cgroup" 2>/dev/null)
  time=$folder
  if [ -e "$folder/memory.current" ]; then
    cpu=$(sed -n 's/^usage_usec //p' "$folder/cpu.stat" 2>/dev/null)
  else
    folder=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' "/proc/$3/cgroup" 2>/dev/null)
    time=/sys/fs/cgroup/cpuacct$(sed -n 's/^[0-9]*:[a-z,]*cpuacct[a-z,]*://p' "/proc/$3/cgroup" 2>/dev/null)
    [ -e "$time/cpuacct.usage" ] || time=/sys/fs/cgroup/cpu,cpuacct${time#/sys/fs/cgroup/cpuacct}
    cpu=$(cat "$time/cpuacct.usage" 2>/dev/null) && cpu=$((cpu / 1000))
  fi
  used=$(cat "$folder/memory.current" 2>/dev/null || cat "$folder/memory.usage_in_bytes" 2>/dev/null) || return 0
  cached=$(sed -nE 's/^(total_)?inactive_file //p' "$folder/memory.stat" 2>/dev/null | tail -n 1)
  say use "${1#/}" "$2" "${cpu:--}" "$((used - ${cached:-0}))"
}

main() {
  local number=0 name service pid
  while :; do
    say begin "$EPOCHREALTIME"
    timeout 5 docker ps -q --no-trunc --filter label=slipway.stack 2>/dev/null |
      xargs -r timeout 5 docker inspect --format \
        '{{.Name}} {{with index .Config.Labels "slipway.service"}}{{.}}{{else}}{{index $.Config.Labels "slipway.role"}}{{end}} {{.State.Pid}}' 2>/dev/null |
      while read -r name service pid; do sample "$name" "$service" "$pid"; done
    say end
    number=$((number + 1))
    [ "$number" != "$SAMPLES" ] || break
    sleep "$PAUSE"
  done
}

main </dev/null
