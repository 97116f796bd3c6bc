#!/usr/bin/env bash
# Sets up the backups of one service, or of the registry, on its host: restic, the script, its settings, passwords and
# keys, and the timer.
# It can run again at any time.
#
#   bash -s [undo]
#
# Values:
#   SERVICE         the service's name, or `registry`
#   SETTINGS        the settings that backup.sh reads
#   CALENDAR        when backups are made, as an event of systemd's calendar
#   PASSWORD        the password of the repository
#   FORMER_PASSWORD the password with which an older version has perhaps begun it; empty if there was none
#   KEYS            variables with the keys of an object store, a line each; empty without one
#   SSH_KEY         the key that logs in to the host that keeps the backups; empty without one
#   KNOWN_HOST      that host's line for known_hosts; empty without one
#   BACKUP_SCRIPT   text of backup.sh
set -euo pipefail

: "${SERVICE:?}" "${SETTINGS:?}" "${CALENDAR:?}" "${PASSWORD:?}" "${BACKUP_SCRIPT:?}"
: "${FORMER_PASSWORD?}" "${KEYS?}" "${SSH_KEY?}" "${KNOWN_HOST?}"

configured=/etc/slipway/backups
own=/var/lib/slipway/backup/$SERVICE
unit=slipway-backup-$SERVICE
script=/usr/local/lib/slipway/backup

install_restic() {
  local said
  ! { command -v restic && command -v ssh; } >/dev/null || return 0
  command -v apt-get >/dev/null || fail 6 \
    "$SERVICE on $(hostname): there is no package restic for its distribution, so backups cannot be made there" \
    "to mend it: install restic 0.14 or newer and ssh there, or run $SERVICE on a host with Debian or Ubuntu"
  said=$({ apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -o DPkg::Lock::Timeout=120 --no-install-recommends restic openssh-client; } 2>&1) ||
    fail 6 "$(hostname) cannot install restic: $(grep -v '^$' <<<"$said" | tail -n 1)"
}

# private FILE TEXT: a file for root alone; none without a text.
private() {
  if [ -n "$2" ]; then put "$own/$1" 0600 <<<"$2"; else rm -f "$own/$1"; fi
}

undo() {
  systemctl -q disable --now "$unit.timer" 2>/dev/null || true
  systemctl stop "$unit.service" 2>/dev/null || true
  rm -f "$configured/$SERVICE" "$configured/.$SERVICE.last" "/etc/systemd/system/$unit".{service,timer}
  rm -rf "$own"
  systemctl daemon-reload
}

main() {
  local changed=false
  lock backup
  if [ "${1:-}" = undo ]; then
    undo
    return
  fi
  systemd-analyze calendar "$CALENDAR" >/dev/null 2>&1 ||
    fail 6 "$SERVICE on $(hostname): systemd knows no such time: $CALENDAR" \
      "to mend it: choose another slipway:services.$SERVICE.timeZone, or install the package tzdata there"
  install_restic
  folder "${own%/*}" 0700
  folder "$own" 0700
  folder "$configured" 0755
  private password "$PASSWORD"
  private former-password "$FORMER_PASSWORD"
  private keys "$KEYS"
  private id "$SSH_KEY"
  private known_hosts "$KNOWN_HOST"
  put "$configured/$SERVICE" 0600 <<<"$SETTINGS"
  put "$script" 0755 <<<"$BACKUP_SCRIPT"
  changed=false
  own_unit "$unit.service" <<UNIT
[Unit]
Description=The backup of $SERVICE of Slipway
After=docker.service network-online.target
Wants=network-online.target

[Service]
Type=oneshot
Nice=10
IOSchedulingClass=idle
ExecStart=$script run $SERVICE
UNIT
  own_unit "$unit.timer" <<UNIT
[Unit]
Description=When the backup of $SERVICE of Slipway is made

[Timer]
OnCalendar=$CALENDAR
Persistent=true
AccuracySec=1min

[Install]
WantedBy=timers.target
UNIT
  if $changed; then systemctl daemon-reload; fi
  systemctl -q is-enabled "$unit.timer" || systemctl -q enable "$unit.timer"
  if $changed; then systemctl restart "$unit.timer"; else systemctl start "$unit.timer"; fi
  made+=("unit $unit.timer")
  tell_made
}

main "$@" </dev/null
