#!/usr/bin/env bash
# Brings a service's secrets to this host, as files for its containers: in memory, where containers have them, and on the
# disk, for root alone, from where keep-secrets.sh takes them when the machine starts. It can run again at any time.
#
#   bash -s [undo]
#
# Other values have another version, and a folder of its own, since the containers of the former version still run.
#
# Values:
#   SERVICE          the service's name
#   VERSION          the name of the folder
#   SECRETS          a line for each: its name, and its value in Base64
#   KEEP_SECRETS_SCRIPT    text of keep-secrets.sh
set -euo pipefail

: "${SERVICE:?}" "${VERSION:?}" "${SECRETS:?}" "${KEEP_SECRETS_SCRIPT:?}"

stored=/var/lib/slipway/secrets
shown=/run/slipway/secrets
unit=slipway-secrets.service

# install_unit: without it, an engine would make empty folders in the place of the files when the machine starts.
install_unit() {
  local changed=false
  put /usr/local/lib/slipway/keep-secrets 0755 <<<"$KEEP_SECRETS_SCRIPT"
  own_unit "$unit" <<'UNIT'
[Unit]
Description=The secrets of Slipway's services, in memory
Before=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/slipway/keep-secrets restore

[Install]
WantedBy=docker.service
UNIT
  if $changed; then systemctl daemon-reload; fi
  systemctl -q is-enabled "$unit" || systemctl -q enable "$unit"
  systemctl start "$unit"
  made+=("unit $unit")
}

main() {
  local place name value
  lock secrets
  if [ "${1:-}" = undo ]; then
    rm -rf "${stored:?}/$SERVICE" "${shown:?}/$SERVICE"
    return
  fi
  folder "${shown%/*}" 0700
  for place in "$stored" "$shown"; do
    folder "$place" 0700
    folder "$place/$SERVICE" 0700
    # The user in a container is not root. Nobody else gets through the folders above.
    folder "$place/$SERVICE/$VERSION" 0755
    while read -r name value; do
      put "$place/$SERVICE/$VERSION/$name" 0444 < <(base64 -d <<<"$value")
    done <<<"$SECRETS"
  done
  put "$stored/$SERVICE/.newest" 0600 <<<"$VERSION"
  # The unit takes the lock, too.
  exec 9>&-
  install_unit
  tell_made
}

main "$@" </dev/null
