#!/usr/bin/env bash
# Installs the configuration and accounts of the registry, and what the proxy before it reads (registry-front.sh).
# A running registry restarts only if its configuration changes; it reads its accounts at each change.
#
# Values:
#   CONFIG                  config.yml
#   ACCOUNTS                htpasswd file, bcrypt only
#   CERTIFICATE KEY         its certificate, followed by the cross-signed one during a CA rotation, and its key (PEM)
#   AUTHORITY               the registry CA: it signed the certificate, and signs client certificates (PEM)
#   FRONT_CONFIG            haproxy.cfg, in which MARK stands for its mark
#   FRONT_ACCOUNTS FRONT_PUSH FRONT_PULL    maps of accounts and their rights
#   URL                     its address as the hosts use it: https://host:port, or http:// without TLS
#   DATA_PATH               folder of its data
#   REGISTRY_USER           the number of its user and group, who also owns its data
#   FRONT_GROUP             the number of the group of the proxy before it
#   SOCKET_PATH             folder of the socket on which it listens
#   RETENTION               the settings file of retention.sh; empty if all images are kept
#   RETENTION_TIME          when retention.sh runs each day, HH:MM by this host's clock
#   RETENTION_SCRIPT RETENTION_RULES    texts of retention.sh and retention.awk
# shellcheck disable=SC2154 # variables of registry-front.sh
set -euo pipefail

: "${CONFIG:?}" "${ACCOUNTS:?}" "${CERTIFICATE:?}" "${KEY:?}" "${DATA_PATH:?}"
: "${AUTHORITY:?}" "${URL:?}" "${SOCKET_PATH:?}" "${REGISTRY_USER:?}" "${FRONT_GROUP:?}"
: "${FRONT_CONFIG:?}" "${FRONT_ACCOUNTS:?}" "${FRONT_PUSH:?}" "${FRONT_PULL:?}"

settings=/etc/slipway/registry
own_data_script=/usr/local/lib/slipway/own-registry-data

# accounts_are_valid: whether each line is a name and a bcrypt hash. With another line the registry refuses all accounts.
accounts_are_valid() {
  local line
  while IFS= read -r line; do
    [[ $line =~ ^[^:[:space:]]+:\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$ ]] || return 1
  done <<<"$ACCOUNTS"
}

# Installs retention.sh, and a timer that runs it on this host each day.
# The service restores the registry's folder however the run ended. A day on which the host was down is made up for.
retention() {
  local units=/etc/systemd/system script=/usr/local/lib/slipway/retention
  if [ -z "$RETENTION" ]; then
    [ ! -e "$units/slipway-retention.timer" ] || systemctl disable -q --now slipway-retention.timer
    absent "$units"/slipway-retention.{timer,service} "$script" "${script%/*}/retention.awk" /etc/slipway/retention
    return
  fi
  put "$script" 0755 <<<"$RETENTION_SCRIPT"
  put "${script%/*}/retention.awk" 0644 <<<"$RETENTION_RULES"
  put /etc/slipway/retention 0600 <<<"$RETENTION"
  own_unit slipway-retention.service <<UNIT
[Unit]
Description=Removal of images that the registry need not keep
After=docker.service
Requires=docker.service

[Service]
Type=oneshot
ExecStart=$script run
ExecStopPost=$script restore
Nice=10
IOSchedulingClass=idle
UNIT
  own_unit slipway-retention.timer <<UNIT
[Unit]
Description=Daily removal of images that the registry need not keep

[Timer]
OnCalendar=*-*-* $RETENTION_TIME:00
Persistent=true

[Install]
WantedBy=timers.target
UNIT
  systemctl daemon-reload
  systemctl enable -q slipway-retention.timer
  systemctl restart slipway-retention.timer
  made+=("unit slipway-retention.timer")
}

# own_data_text: a script for the time after an older version's registry, which wrote as root.
own_data_text() {
  echo '#!/usr/bin/env bash'
  cat <<SCRIPT
set -euo pipefail
$(declare -f own_data)
exec 9>/run/slipway-registry.lock
flock 9
own_data '$DATA_PATH' '$REGISTRY_USER'
left=\$(find '$DATA_PATH' -ignore_readdir_race ! -user '$REGISTRY_USER' -print -quit)
[ -z "\$left" ] || { echo "slipway: the registry's user cannot be given \$left" >&2; exit 7; }
SCRIPT
}

# is_behind_proxy: whether the registry's container is one that listens for the proxy before it. Older versions made another,
# which goes on with the settings that it has read, until Pulumi replaces it.
is_behind_proxy() {
  [[ " $(docker inspect slipway-registry --format '{{ range .Mounts }}{{ .Destination }} {{ end }}')" = *" /run/registry "* ]]
}

main() {
  lock registry
  mkdir -p "$DATA_PATH"
  is_owned "$DATA_PATH" "$REGISTRY_USER" || own_data "$DATA_PATH" "$REGISTRY_USER"
  # For what a registry of an older version writes until its end.
  put "$own_data_script" 0755 < <(own_data_text)
  folder "${settings%/*}" 0700
  folder "$settings" 0750 "0:$REGISTRY_USER"
  # The group is that of containers of older versions.
  folder "$SOCKET_PATH" 0770 "$REGISTRY_USER:0"
  accounts_are_valid ||
    fail 8 "a line of the registry's accounts is no name with a bcrypt hash; those on $(hostname) stay as they are"
  # The accounts come first: without this file the registry would make up an account and print its password.
  put "$settings/htpasswd" 0640 "0:$REGISTRY_USER" <<<"$ACCOUNTS"
  put_front
  # A killed run may have changed files that the registry has not read yet.
  local status unread=/run/slipway-registry-unread killed=false
  [ ! -e "$unread" ] || killed=true
  touch "$unread"
  changed=$killed
  put "$settings/config.yml" 0640 "0:$REGISTRY_USER" <<<"$CONFIG"
  # The proxy before the registry has these.
  absent "$settings"/{tls.crt,tls.key,ca.crt}
  if status=$(docker inspect slipway-registry --format '{{ .State.Status }}' 2>/dev/null) && is_behind_proxy; then
    # One that has ended, perhaps for want of a file, starts again.
    [ "$status" = running ] || changed=true
    ! $changed || docker restart slipway-registry >/dev/null
    apply_front
    # The next push or pull must not reach a registry that is still starting.
    ! docker inspect "$front" >/dev/null 2>&1 || /usr/local/lib/slipway/wait-for-registry "$URL"
  fi
  rm -f "$unread"
  retention
  tell_made
}

main </dev/null
