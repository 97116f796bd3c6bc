#!/usr/bin/env bash
# resolvers ADDRESS…: names the operator's name servers in /etc/resolv.conf of a local host, behind Docker's own.
#
# Docker names only 127.0.0.11 there, which follows the operator's settings. The host's engine leaves loopback addresses
# out for builds and for containers of its default network, and would give them 8.8.8.8. Docker writes the file again
# whenever the host starts, so a unit runs this script at each boot. In another network the operator's machine writes
# its servers to a file (cli/update/name_servers.py), which goes before the set-up's addresses.
set -euo pipefail

main() {
  local file=${RESOLV_CONF:-/etc/resolv.conf} newer=${RESOLVERS_FILE:-/var/lib/slipway/resolvers} text
  grep -qxF 'nameserver 127.0.0.11' "$file" || return 0
  # shellcheck disable=SC2046 # one address a word
  [ ! -s "$newer" ] || set -- $(cat "$newer")
  text=$(
    printf 'nameserver %s\n' 127.0.0.11 "$@"
    grep -v '^nameserver ' "$file" || true
  )
  # The file is a mount, so it is written in place.
  [ "$text" = "$(cat "$file")" ] || printf '%s\n' "$text" >"$file"
}

main "$@" </dev/null
