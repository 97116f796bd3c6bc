#!/usr/bin/env bash
# Puts the registry's configuration, accounts and certificate in place on its host.
# A registry that runs already is restarted only for what it reads at its start; it reads its accounts at each change.
#
# The values come ahead of this text, on standard input (components/script.py):
#   CONFIG                  config.yml
#   ACCOUNTS                htpasswd file, bcrypt only
#   CERTIFICATE KEY         as whom it answers (PEM); behind the certificate there may be others that lead to its authority
#   AUTHORITY               whom its clients trust, and who signs their certificates if it asks for them (PEM)
#   URL                     where it answers, as the hosts call it: https://host:port, or http:// without TLS
#   DATA_PATH               folder of its data
#   RETENTION               settings of retention.sh, as it reads them; empty where images are kept for ever
#   RETENTION_TIME          when it runs each day, HH:MM by this host's clock
#   RETENTION_SCRIPT RETENTION_RULES    texts of retention.sh and retention.awk
set -euo pipefail
umask 077

: "${CONFIG:?}" "${ACCOUNTS:?}" "${CERTIFICATE:?}" "${KEY:?}" "${DATA_PATH:?}"
: "${AUTHORITY:?}" "${URL:?}"

folder=/etc/slipway/registry

# put FILE: installs standard input as FILE, in one step, if it differs. Says so in `changed`.
put() {
  local file=$folder/$1 new
  new=$(mktemp "$file.XXXXXX")
  cat >"$new"
  if cmp -s "$new" "$file"; then
    rm -f "$new"
  else
    mv -f "$new" "$file"
    changed=true
  fi
}

# leaf: the first certificate on standard input, without those that lead to its authority.
leaf() { sed '/-END CERTIFICATE-/q'; }

# accounts_are_sound: whether each line is a name and a bcrypt hash. The registry lets nobody in for one that is not.
accounts_are_sound() {
  local line
  while IFS= read -r line; do
    [[ $line =~ ^[^:[:space:]]+:\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$ ]] || return 1
  done <<<"$ACCOUNTS"
}

# install_file FILE MODE: installs standard input, in one step.
install_file() {
  mkdir -p "$(dirname "$1")"
  cat >"$1.new"
  chmod "$2" "$1.new"
  mv -f "$1.new" "$1"
}

# Images are removed by this host itself, each day: nobody needs to remember it.
retention() {
  local units=/etc/systemd/system script=/usr/local/lib/slipway/retention
  if [ -z "$RETENTION" ]; then
    [ ! -e "$units/slipway-retention.timer" ] || systemctl disable -q --now slipway-retention.timer
    rm -f "$units"/slipway-retention.{timer,service} "$script" "${script%/*}/retention.awk" /etc/slipway/retention
    return
  fi
  install_file "$script" 0755 <<<"$RETENTION_SCRIPT"
  install_file "${script%/*}/retention.awk" 0644 <<<"$RETENTION_RULES"
  install_file /etc/slipway/retention 0600 <<<"$RETENTION"
  install_file "$units/slipway-retention.service" 0644 <<UNIT
[Unit]
Description=Removal of images that the registry need not keep
After=docker.service
Requires=docker.service

[Service]
Type=oneshot
ExecStart=$script run
# However that ended: the registry writes again.
ExecStopPost=$script restore
Nice=10
IOSchedulingClass=idle
UNIT
  install_file "$units/slipway-retention.timer" 0644 <<UNIT
[Unit]
Description=Daily removal of images that the registry need not keep

[Timer]
OnCalendar=*-*-* $RETENTION_TIME:00
# After a day on which this host did not run, as soon as it does.
Persistent=true

[Install]
WantedBy=timers.target
UNIT
  systemctl daemon-reload
  systemctl enable -q slipway-retention.timer
  systemctl restart slipway-retention.timer
}

main() {
  # A run whose operator was killed goes on: two must not get into each other's way.
  exec 9>/run/slipway-registry.lock
  flock 9
  mkdir -p "$folder" "$DATA_PATH"
  accounts_are_sound || {
    echo "slipway: a line of the registry's accounts is no name with a bcrypt hash; those on $(hostname) stay as they are" >&2
    exit 8
  }
  # A missing file of accounts would make the registry invent one and print its password.
  put htpasswd <<<"$ACCOUNTS"
  # A run that was killed may have changed files that the registry has not read yet.
  local shown running unread=/run/slipway-registry-unread killed=false
  [ ! -e "$unread" ] || killed=true
  touch "$unread"
  shown=$(leaf 2>/dev/null <"$folder/tls.crt" || true)
  # What leads to an authority that nobody trusts any more may be shown until the next start: it is no reason for one.
  put tls.crt <<<"$CERTIFICATE"
  changed=false
  put ca.crt <<<"$AUTHORITY"
  # Nobody looks at it but a registry that asks its clients for certificates.
  [[ $CONFIG == *clientcas:* ]] || changed=false
  put config.yml <<<"$CONFIG"
  put tls.key <<<"$KEY"
  [ "$shown" = "$(leaf <<<"$CERTIFICATE")" ] || changed=true
  ! $killed || changed=true
  if running=$(docker inspect slipway-registry --format '{{ .State.Running }}' 2>/dev/null) && { $changed || $running; }; then
    ! $changed || docker restart slipway-registry >/dev/null
    # Who pushes or pulls next must not meet a registry that is only just starting.
    /usr/local/lib/slipway/wait-for-registry "$URL"
  fi
  rm -f "$unread"
  retention
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
