#!/usr/bin/env bash
# Has this host keep the backups of services of other hosts: for a user who can do nothing but read and write files in one
# directory, by SFTP. It can run again at any time. ssh-server.sh comes ahead of it.
#
#   bash -s [undo]
#
# Values:
#   PUBLIC_KEY   the key that logs in, as a line of OpenSSH
set -euo pipefail

: "${PUBLIC_KEY:?}"

user=slipway-backup
# sshd lets nobody but root own what a login is confined to.
store=/var/lib/slipway/backups
# Its user reads it, who gets into none of Slipway's own directories.
keys=/etc/ssh/slipway-backup-keys
settings=/etc/ssh/sshd_config.d/10-slipway-backup.conf

main() {
  local changed=false said
  lock backup-store
  if [ "${1:-}" = undo ]; then
    # The backups stay.
    rm -f "$keys" "$settings"
    reload_ssh
    return
  fi
  # No password fits `*`; without one at all, sshd may take the account for a locked one.
  id "$user" >/dev/null 2>&1 ||
    useradd --system --no-create-home --home-dir / --shell /usr/sbin/nologin --password '*' "$user"
  folder "$store" 0755
  folder "$store/data" 0700 "$(id -u "$user"):$(id -g "$user")"
  put "$keys" 0644 <<<"restrict $PUBLIC_KEY"
  changed=false
  put "$settings" 0644 <<SETTINGS
Match User $user
  AuthorizedKeysFile $keys
  ChrootDirectory $store
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
