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

# What the script has made, a line each, for `tell_made`: `slip` compares the host with these lines later (cli/running/scripts/drift.sh).
made=()

# put FILE MODE [OWNER]: installs standard input as FILE, atomically, if it differs. Then it sets `changed`.
# Another mode or owner is corrected without that. The owner is USER:GROUP, in numbers; by default who runs this.
put() {
  local file=$1 mode=$2 new
  mkdir -p "$(dirname "$file")"
  new=$(mktemp "$file.XXXXXX")
  cat >"$new"
  [ -z "${3:-}" ] || chown "$3" "$new"
  chmod "$mode" "$new"
  if [ ! -L "$file" ] && cmp -s "$new" "$file"; then
    chown --reference="$new" "$file"
    chmod "$mode" "$file"
    rm -f "$new"
  else
    # A directory in its place, which an engine makes for a missing mount, would take the file in.
    if [ -d "$file" ] && [ ! -L "$file" ]; then rm -rf "$file"; fi
    mv -fT "$new" "$file"
    # shellcheck disable=SC2034 # for the script
    changed=true
  fi
  made+=("file $(stat -c '%a %u:%g' "$file") $(sha256sum <"$file" | cut -d' ' -f1) $file")
}

# folder PATH MODE [OWNER]: makes a directory, or corrects its owner and mode.
folder() {
  mkdir -p "$1"
  chown "${3:-$(id -u):$(id -g)}" "$1"
  chmod "$2" "$1"
  made+=("folder $(stat -c '%a %u:%g' "$1") $1")
}

# absent PATH…: removes files, and directories with what is in them.
absent() {
  rm -rf "$@"
  made+=("${@/#/absent }")
}

# own_unit NAME: installs standard input as a unit of systemd's that is Slipway's alone, without what was added to it by
# hand: a drop-in may keep it from starting.
own_unit() {
  put "/etc/systemd/system/$1" 0644
  # shellcheck disable=SC2034 # for the script
  if [ -e "/etc/systemd/system/$1.d" ]; then changed=true; fi
  absent "/etc/systemd/system/$1.d"
}

# tell_made: prints what the script has made. It is the script's last output, which Pulumi's state keeps as a secret.
tell_made() { printf 'made %s\n' "${made[@]}"; }

# talk PROCESS: has HAProxy's master process, whose id on this host this is, take what comes on standard input, which nobody
# sees in a list of processes. Prints what it answers.
talk() {
  nsenter --net="/proc/$1/ns/net" timeout 15 bash -c '
    exec 3<>/dev/tcp/127.0.0.1/9998 && cat >&3 && cat <&3' 2>/dev/null
}

# lock NAME: waits for another run of the script on this host. A run goes on after its operator's `slip` was killed.
lock() {
  exec 9>"/run/slipway-$1.lock"
  flock 9
}
