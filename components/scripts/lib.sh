#!/usr/bin/env bash
# What the scripts share. components/script.py puts this file ahead of each of them.
#
# A script with values gets them as assignments ahead of this file; `bash -s` reads all of it from standard input.
# So such a script ends with `main "$@" </dev/null`: bash has then read the whole script before any command runs,
# and no command can read the rest of the script as its input.
umask 077

# fail STATUS LINE…: ends the script with this exit status, and these lines on standard error.
fail() {
  local status=$1
  shift
  printf 'slipway: %s\n' "$@" >&2
  exit "$status"
}

# put FILE MODE: installs standard input as FILE, atomically, if it differs. Then it sets `changed`.
put() {
  local file=$1 mode=$2 new
  mkdir -p "$(dirname "$file")"
  new=$(mktemp "$file.XXXXXX")
  cat >"$new"
  chmod "$mode" "$new"
  if cmp -s "$new" "$file"; then
    rm -f "$new"
  else
    mv -f "$new" "$file"
    # shellcheck disable=SC2034 # for the script
    changed=true
  fi
}

# lock NAME: waits for another run of the script on this host. A run goes on after its operator's `slip` was killed.
lock() {
  exec 9>"/run/slipway-$1.lock"
  flock 9
}
