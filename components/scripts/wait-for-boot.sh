#!/usr/bin/env bash
# Waits until this machine has booted: cloud-init has installed the packages, and Docker Engine runs.
#
# Values:
#   MACHINE_ID  an id of this machine: a new machine is waited for again
#   KIND        its instance type: a machine that gets another type boots again
set -euo pipefail

: "${MACHINE_ID:?}" "${KIND:?}"

log=/var/log/cloud-init-output.log

# What cloud-init reports: first its errors, then the end of what its commands printed.
report() {
  echo "slipway: cloud-init's own words:"
  # Errors are found by their level, since older versions list no errors in their status.
  {
    cloud-init status --long 2>/dev/null || true
    grep -hE ' - [^ ]+\[(ERROR|CRITICAL|WARNING)\]' /var/log/cloud-init.log 2>/dev/null | tail -n 10 || true
    # Errors of packages are far from the end of the log, which is about keys.
    grep -hE '^(E|Err|Error):' "$log" 2>/dev/null | tail -n 5 || true
    tail -n 15 "$log" 2>/dev/null || true
  } | sed 's/^/  | /'
}

main() {
  local status=0
  command -v cloud-init >/dev/null ||
    fail 4 "this machine's image has no cloud-init, which sets up hosts: choose another image"
  cloud-init status --wait >/dev/null 2>&1 || status=$?
  case $status in
    0) ;;
    2)
      echo "slipway: cloud-init finished, but calls this boot degraded"
      report
      ;;
    *)
      {
        echo "slipway: cloud-init failed on $(hostname), so the host is not set up"
        report
        echo "slipway: correct the cause and run './slip up' again: it keeps this machine, unless the correction changes" \
          "the user data; then it makes a new one"
      } >&2
      exit 5
      ;;
  esac
  if ! command -v dockerd >/dev/null; then
    {
      echo "slipway: cloud-init says that it is done on $(hostname), but there is no Docker Engine"
      report
    } >&2
    exit 5
  fi
  # After a reboot the engine may still be starting. If it does not start, the host's set-up command says why.
  for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && break
    sleep 1
  done
}

main </dev/null
