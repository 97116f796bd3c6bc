#!/usr/bin/env bash
# Brings a service's files to this host, from where its containers mount them.
#
# Each version of them has a directory of its own, since the old container keeps its files until it ends. Those that no
# container has any more are removed.
#
# Values:
#   SERVICE   the service's name
#   VERSION   the name of the directory
#   FILES     a line for each file: its name there, its mode, user:group, and its content in base64
set -euo pipefail

: "${SERVICE:?}" "${VERSION:?}" "${FILES?}"
files=/etc/slipway/files

# bring NAME MODE OWNER CONTENT: makes the file whole, with its owner, before it has its name.
bring() {
  local file=$files/$SERVICE/$VERSION/$1 new
  new=$(mktemp "$files/$SERVICE/$VERSION/.new.XXXXXX")
  base64 -d <<<"$4" >"$new"
  chown "$3" "$new"
  chmod "$2" "$new"
  # Docker makes a directory for a mount that is missing.
  if [ -d "$file" ]; then rm -rf "$file"; fi
  # A container has the file itself mounted: one that is right stays.
  if cmp -s "$new" "$file"; then
    chown "$3" "$file"
    chmod "$2" "$file"
    rm -f "$new"
  else
    mv -fT "$new" "$file"
  fi
  made+=("file $(stat -c '%a %u:%g' "$file") $(sha256sum <"$file" | cut -d' ' -f1) $file")
}

main() {
  local name mode owner content directory mounted
  folder "$files" 0700
  folder "$files/$SERVICE" 0700
  folder "$files/$SERVICE/$VERSION" 0700
  while read -r name mode owner content; do
    [ -z "$name" ] || bring "$name" "$mode" "$owner" "$content"
  done <<<"$FILES"
  mounted=$(docker ps -aq | xargs -r docker inspect --format '{{range .HostConfig.Binds}}{{println .}}{{end}}')
  for directory in "$files/$SERVICE"/*; do
    case "$directory $mounted" in
      "$files/$SERVICE/$VERSION "* | "$directory "*"$directory/"*) ;;
      *) rm -rf "$directory" ;;
    esac
  done
  tell_made
}

main </dev/null
