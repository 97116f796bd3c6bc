#!/usr/bin/env bash
# Has this host keep the backups of services of other hosts. Each has a user of its own, who can do nothing but read and
# write files in one directory, by SFTP: root on a service's host gets at the backups of this service, and at no others. It
# can run again at any time. ssh-server.sh comes ahead of it.
#
#   bash -s [undo]
#
# Values:
#   USERS   a line for each service: its user, its name, and the key that logs in, as a line of OpenSSH
set -euo pipefail

: "${USERS:?}"

# sshd lets nobody but root own what a login is confined to.
store=/var/lib/slipway/backups
# Users read their own, who get into none of Slipway's own directories.
keys=/etc/ssh/slipway-backup
group=slipway-backups
settings=/etc/ssh/sshd_config.d/10-slipway-backup.conf
# Of versions in which all services had one user, and one directory.
former_user=slipway-backup former_keys=/etc/ssh/slipway-backup-keys former=$store/data

# keep USER SERVICE KEY: makes the user and the directory. No password fits `*`; without one at all, sshd may take the account
# for a locked one.
keep() {
  local own=$store/of/$1 data=$store/of/$1/data
  id "$1" >/dev/null 2>&1 ||
    useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin --password '*' --groups "$group" "$1"
  folder "$own" 0755
  # Its user may have made links in what it writes to.
  if [ ! -L "$former/$2" ] && [ -d "$former/$2" ] && [ ! -e "$data" ]; then
    mkdir -m 0700 "$data.new"
    mv -T "$former/$2" "$data.new/$2"
    chown -Rh "$(id -u "$1"):$(id -g "$1")" "$data.new"
    mv -T "$data.new" "$data"
  fi
  folder "$data" 0700 "$(id -u "$1"):$(id -g "$1")"
  put "$keys/$1" 0644 <<<"restrict $3"
}

main() {
  local changed=false said user service key file known=' '
  lock backup-store
  if [ "${1:-}" = undo ]; then
    # The backups stay.
    rm -rf "$keys" "$settings"
    reload_ssh
    return
  fi
  getent group "$group" >/dev/null || groupadd --system "$group"
  folder "$store" 0755
  folder "$store/of" 0755
  folder "$keys" 0755
  # From here on nobody logs in by a key of all services.
  rm -f "$former_keys"
  pkill -KILL -u "$former_user" || true
  while read -r user service key; do
    keep "$user" "$service" "$key"
    known="$known$user "
  done <<<"$USERS"
  for file in "$keys"/*; do
    case "$known" in *" ${file##*/} "*) ;; *) rm -f "$file" ;; esac
  done
  # What is of no service now stays, and is nobody's.
  rmdir "$former" 2>/dev/null || chown -Rh 0:0 "$former" 2>/dev/null || true
  ! id "$former_user" >/dev/null 2>&1 || userdel "$former_user"
  changed=false
  put "$settings" 0644 <<SETTINGS
Match Group $group
  AuthorizedKeysFile $keys/%u
  ChrootDirectory $store/of/%u
  ForceCommand internal-sftp
Match all
SETTINGS
  if $changed; then
    said=$(sshd -t 2>&1) || {
      rm -f "$settings"
      fail 4 "the SSH server does not take the settings in $settings: $said"
    }
    reload_ssh
  fi
  tell_made
}

main "$@" </dev/null
