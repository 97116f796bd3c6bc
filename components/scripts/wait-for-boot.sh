#!/usr/bin/env bash
# Waits until this machine has booted: cloud-init has installed what a host needs, and its engine is up again.
#
# Values ahead of this text, on standard input (components/script.py):
#   BIRTH       identity of this machine: a new one is waited for anew
#   KIND        its instance type: a machine that gets another one boots again
set -euo pipefail

: "${BIRTH:?}" "${KIND:?}"

log=/var/log/cloud-init-output.log

# cloud-init's own words: first what it lists as errors, then the end of what its commands printed.
last_words() {
  echo "slipway: cloud-init's own words:"
  # Found by the names of the levels, since older versions list no errors in their status.
  {
    cloud-init status --long 2>/dev/null || true
    grep -hE ' - [^ ]+\[(ERROR|CRITICAL|WARNING)\]' /var/log/cloud-init.log 2>/dev/null | tail -n 10 || true
    # Packages' errors come long before the end, which is about keys.
    grep -hE '^(E|Err|Error):' "$log" 2>/dev/null | tail -n 5 || true
    tail -n 15 "$log" 2>/dev/null || true
  } | sed 's/^/  | /'
}

main() {
  local status=0
  if ! command -v cloud-init >/dev/null; then
    echo "slipway: this machine's image has no cloud-init, by which hosts are set up: choose another image" >&2
    exit 4
  fi
  cloud-init status --wait >/dev/null 2>&1 || status=$?
  case $status in
    0) ;;
    2)
      # It did what it was told, but found something to complain of.
      echo "slipway: cloud-init finished, but calls this boot degraded"
      last_words
      ;;
    *)
      {
        echo "slipway: cloud-init failed on $(hostname), so the host is not set up"
        last_words
        echo "slipway: correct what is wrong; './slip up' goes on with the machine as it is, and makes a new one" \
          "where its user data changes"
      } >&2
      exit 5
      ;;
  esac
  if ! command -v dockerd >/dev/null; then
    {
      echo "slipway: cloud-init says that it is done on $(hostname), but there is no Docker Engine"
      last_words
    } >&2
    exit 5
  fi
  # At the first boot it is up by now. Where it cannot be up, what comes next says why.
  for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && break
    sleep 1
  done
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
