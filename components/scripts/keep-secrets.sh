#!/usr/bin/env bash
# Keeps the secrets of this host's services in memory, where their containers have them (secrets.sh).
#
#   keep-secrets restore   takes them from the disk, before Docker Engine starts with the machine
#   keep-secrets sweep     removes former values, once no container has them; slipway-keep calls it
set -euo pipefail

stored=/var/lib/slipway/secrets
shown=/run/slipway/secrets

restore() {
  local version
  mkdir -p "$shown"
  for version in "$stored"/*/*; do
    version=${version#"$stored/"}
    if [ ! -d "$stored/$version" ] || [ -e "$shown/$version" ]; then continue; fi
    mkdir -p "$shown/${version%/*}"
    cp -a "$stored/$version" "$shown/$version.new"
    mv -T "$shown/$version.new" "$shown/$version"
  done
}

sweep() {
  local version used newest containers
  containers=$(docker ps -aq)
  used=$'\n'$(xargs -r docker inspect --format '{{ range .Mounts }}{{ println .Source }}{{ end }}' <<<"$containers")$'\n'
  for version in "$stored"/*/*; do
    version=${version#"$stored/"}
    if [ ! -d "$stored/$version" ] || [[ $used = *$'\n'"$shown/$version"$'\n'* ]]; then continue; fi
    newest=$(cat "$stored/${version%/*}/.newest" 2>/dev/null || true)
    [ "${version#*/}" = "$newest" ] || rm -rf "${stored:?}/$version" "${shown:?}/$version"
  done
}

main() {
  lock secrets
  case "${1-}" in
    restore | sweep) "$1" ;;
    *) fail 7 "say restore or sweep" ;;
  esac
}

main "$@" </dev/null
