#!/usr/bin/env bash
# Installs the registry's configuration, accounts and certificate on its host.
# A running registry restarts only if a file changes that it reads at its start; it reads its accounts at each change.
#
# Values:
#   CONFIG                  config.yml
#   ACCOUNTS                htpasswd file, bcrypt only
#   CERTIFICATE KEY         its certificate, followed by the cross-signed one during a CA rotation, and its key (PEM)
#   AUTHORITY               the registry CA: it signed the certificate, and signs client certificates (PEM)
#   URL                     its address as the hosts use it: https://host:port, or http:// without TLS
#   DATA_PATH               folder of its data
#   RETENTION               the settings file of retention.sh; empty if all images are kept
#   RETENTION_TIME          when retention.sh runs each day, HH:MM by this host's clock
#   RETENTION_SCRIPT RETENTION_RULES    texts of retention.sh and retention.awk
set -euo pipefail

: "${CONFIG:?}" "${ACCOUNTS:?}" "${CERTIFICATE:?}" "${KEY:?}" "${DATA_PATH:?}"
: "${AUTHORITY:?}" "${URL:?}"

settings=/etc/slipway/registry

# leaf: the first certificate on standard input.
leaf() { sed '/-END CERTIFICATE-/q'; }

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
  put "$units/slipway-retention.service" 0644 <<UNIT
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
  put "$units/slipway-retention.timer" 0644 <<UNIT
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

# The leaf certificate that the running registry presents, or nothing.
presented() {
  [[ $URL == https://* ]] || return 0
  timeout 5 openssl s_client -connect "${URL#*://}" 2>/dev/null </dev/null | sed -n '/-BEGIN CERT/,/-END CERT/p' || true
}

main() {
  lock registry
  mkdir -p "$DATA_PATH"
  folder "${settings%/*}" 0700
  folder "$settings" 0700
  accounts_are_valid ||
    fail 8 "a line of the registry's accounts is no name with a bcrypt hash; those on $(hostname) stay as they are"
  # The accounts come first: without this file the registry would make up an account and print its password.
  put "$settings/htpasswd" 0600 <<<"$ACCOUNTS"
  # A killed run may have changed files that the registry has not read yet.
  local shown status unread=/run/slipway-registry-unread killed=false
  [ ! -e "$unread" ] || killed=true
  touch "$unread"
  # A file that was changed by hand says nothing of the registry that runs.
  shown=$(presented)
  shown=${shown:-$(leaf 2>/dev/null <"$settings/tls.crt" || true)}
  # Dropping the cross-signed certificate needs no restart, so only the leaf is compared, below.
  put "$settings/tls.crt" 0600 <<<"$CERTIFICATE"
  changed=false
  put "$settings/ca.crt" 0600 <<<"$AUTHORITY"
  # The registry reads this file only if it requires client certificates.
  [[ $CONFIG == *clientcas:* ]] || changed=false
  put "$settings/config.yml" 0600 <<<"$CONFIG"
  # The registry that presents the certificate has its key.
  local others=$changed
  put "$settings/tls.key" 0600 <<<"$KEY"
  changed=$others
  [ "$shown" = "$(leaf <<<"$CERTIFICATE")" ] || changed=true
  ! $killed || changed=true
  if status=$(docker inspect slipway-registry --format '{{ .State.Status }}' 2>/dev/null); then
    # One that has ended, perhaps for want of a file, starts again.
    [ "$status" = running ] || changed=true
    ! $changed || docker restart slipway-registry >/dev/null
    # The next push or pull must not reach a registry that is still starting.
    /usr/local/lib/slipway/wait-for-registry "$URL"
  fi
  rm -f "$unread"
  retention
  tell_made
}

main </dev/null
