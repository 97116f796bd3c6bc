#!/usr/bin/env bash
# Waits until this machine has booted, and installs Docker Engine. It runs again at any time.
#
# Values:
#   MACHINE_ID      an id of this machine: a new machine is waited for again
#   KIND            its instance type: a machine that gets another type boots again
#   INSTALL_SCRIPT  text of install-engine.sh, which has further values
set -euo pipefail

: "${MACHINE_ID:?}" "${KIND:?}" "${INSTALL_SCRIPT:?}" "${REPLACE:?}"

log=/var/log/cloud-init-output.log

# What cloud-init reports: first its errors, then the end of what its commands printed.
report() {
  echo "slipway: cloud-init's own words:"
  # Errors are found by their level, since older versions list no errors in their status.
  {
    cloud-init status --long 2>/dev/null || true
    grep -hE ' - [^ ]+\[(ERROR|CRITICAL|WARNING)\]' /var/log/cloud-init.log 2>/dev/null | tail -n 10 || true
    tail -n 15 "$log" 2>/dev/null || true
  } | sed 's/^/  | /'
}

main() {
  local status=0 reported=
  command -v cloud-init >/dev/null ||
    fail 4 "this machine's image has no cloud-init, which sets up hosts: choose another image"
  cloud-init status --wait >/dev/null 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    # This machine answers with its own host key, so cloud-init has done what nothing else can do.
    reported=$(report)
    echo "slipway: cloud-init calls this boot degraded or failed"
    echo "$reported"
  fi
  if ! PACKAGES=$PACKAGES ENGINE_VERSION=$ENGINE_VERSION SETTING=$SETTING REPLACE=$REPLACE \
    bash -c "$INSTALL_SCRIPT"; then
    [ -z "$reported" ] || echo "$reported" >&2
    fail 5 "$(hostname) is not set up: run './slip up' again once the cause is gone, which keeps this machine" \
      "a new machine in its place: $REPLACE"
  fi
  # After a reboot the engine may still be starting. If it does not start, the host's set-up command says why.
  for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && break
    sleep 1
  done
}

main </dev/null
