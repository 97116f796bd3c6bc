#!/usr/bin/env bash
# Functions for report.sh and usage.sh, which are sent behind it.

# use PID: what a container uses by its process: CPU time since its start, in microseconds or `-`, and memory in bytes,
# without the files that the kernel would drop first. It fails if the process is gone.
use() {
  local cpu='' folder time used cached
  # Version 2 has one tree; version 1 one for each controller, and other names in it.
  folder=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup" 2>/dev/null)
  time=$folder
  if [ -e "$folder/memory.current" ]; then
    cpu=$(sed -n 's/^usage_usec //p' "$folder/cpu.stat" 2>/dev/null)
  else
    folder=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' "/proc/$1/cgroup" 2>/dev/null)
    time=/sys/fs/cgroup/cpuacct$(sed -n 's/^[0-9]*:[a-z,]*cpuacct[a-z,]*://p' "/proc/$1/cgroup" 2>/dev/null)
    [ -e "$time/cpuacct.usage" ] || time=/sys/fs/cgroup/cpu,cpuacct${time#/sys/fs/cgroup/cpuacct}
    cpu=$(cat "$time/cpuacct.usage" 2>/dev/null) && cpu=$((cpu / 1000))
  fi
  used=$(cat "$folder/memory.current" 2>/dev/null || cat "$folder/memory.usage_in_bytes" 2>/dev/null) || return 1
  cached=$(sed -nE 's/^(total_)?inactive_file //p' "$folder/memory.stat" 2>/dev/null | tail -n 1)
  echo "${cpu:--}" "$((used - ${cached:-0}))"
}
