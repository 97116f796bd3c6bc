#!/usr/bin/env bash
# Puts the registry's configuration, accounts and certificate in place on its host.
# A registry that runs already is restarted only for what it reads at its start; it reads its accounts at each change.
#
# The values come ahead of this text, on standard input (components/script.py):
#   CONFIG                  config.yml
#   ACCOUNTS                htpasswd file, bcrypt only
#   CERTIFICATE KEY         as whom it answers (PEM)
#   DATA_PATH               folder of its data
set -euo pipefail
umask 077

: "${CONFIG:?}" "${ACCOUNTS:?}" "${CERTIFICATE:?}" "${KEY:?}" "${DATA_PATH:?}"

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

main() {
  # A run whose operator was killed goes on: two must not get into each other's way.
  exec 9>/run/slipway-registry.lock
  flock 9
  mkdir -p "$folder" "$DATA_PATH"
  # A missing file of accounts would make the registry invent one and print its password.
  put htpasswd <<<"$ACCOUNTS"
  changed=false
  put config.yml <<<"$CONFIG"
  put tls.crt <<<"$CERTIFICATE"
  put tls.key <<<"$KEY"
  if $changed && docker inspect slipway-registry >/dev/null 2>&1; then
    docker restart slipway-registry >/dev/null
  fi
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
