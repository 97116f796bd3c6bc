#!/usr/bin/env bash
# Removes the images that the registry need not keep, and runs the registry's garbage collection.
# registry.sh installs it on the registry's host, with retention.awk beside it and a timer for it.
#
#   retention plan [SEEN]   prints what would be removed, as lines of retention.awk, and changes nothing
#   retention now [SEEN]    runs slipway-retention.service, and prints what was removed
#   retention run           for slipway-retention.service
#   retention restore       for slipway-retention.service, however `run` ended: the registry may write again
#
# SEEN is [--complete] IMAGE…: images that hosts serve, REPOSITORY@DIGEST, as the operator saw there. They stay. In-use markers
# on this host's engine name the same images (components/registry/retention.py), but an interrupted update may not have made
# them all. --complete means that every app host answered; then the images of failed versions can be removed sooner.
#
# A push during the removal could rely on a layer that is being removed. So the registry's folder is read-only meanwhile, by
# a mount. Pulls continue and no container restarts. Nothing of this is on a disk, so a restart of the machine ends it. A push
# is refused meanwhile (HTTP 500, "read-only file system"); the engine retries each layer for a while.
set -euo pipefail

config=${SLIPWAY_RETENTION:-/etc/slipway/retention}
here=$(dirname "$0")
registry=slipway-registry
collector=slipway-registry-gc
inside=/var/lib/registry
run=/run/slipway
# The data folder twice: a mount that is writable, and a mount that is not.
writable=$run/registry-data read_only=$run/registry-read-only
# Seconds without a write before the removal begins, so that it falls between two pushes; the limit of that wait; and the
# limit of any other wait.
quiet=3 patience=600 moment=30

# An upload that is open for longer than these minutes is ended where it holds up the removal; and after a run that was held
# up, any upload is. The file says that the last run was.
old=60 held=$run/retention-held

# The file with SEEN, and the minutes after which it is too old: hosts may serve other images by then.
seen=$run/seen fresh=60

# It sets KEEP, DAYS, DATA_PATH, SERVICES, and PLACES, which are SERVICE/HOST.
# shellcheck source=/dev/null
. "$config"
root=$DATA_PATH/docker/registry/v2

say() { echo "slipway: $1"; }

# The registry's images, as input of retention.awk.
inventory() {
  local digests
  echo "P $KEEP $DAYS $(date +%s)"
  deployed | sed 's/^/D /'
  served
  unknown
  cd "$root"
  find repositories \( -name _layers -o -name _uploads \) -prune -o -type f -name link -printf 'L %P %T@\n'
  find repositories \( -name _layers -o -name _uploads -o -name revisions \) -prune -o \
    -type f -path '*/_manifests/tags/*/current/link' -print0 | xargs -0r grep -aHo '[a-z0-9]*:[0-9a-f]*' |
    sed 's|^repositories/|C |'
  find blobs -type f -name data -printf 'B %P %s\n'
  find repositories \( -name _layers -o -name _manifests \) -prune -o \
    -type f -path '*/_uploads/*/data' -printf 'U %P %T@ %s\n'
  digests=$(find repositories \( -name _layers -o -name _uploads -o -name tags \) -prune -o -type f -name link \
    -path '*/_manifests/revisions/*' -print | sed -E 's|.*/revisions/([^/]+)/((..)[^/]*)/link$|\1/\3/\2/data|' | sort -u)
  # Manifests are JSON, on one line or several. The digest of `subject` is printed apart from all others.
  cd blobs
  # grep skips a manifest whose blob is missing; retention.awk notices those that could not be read.
  { xargs -r grep -asHozE \
    '^[[:space:]]*\{|"subject"[[:space:]]*:[[:space:]]*\{([^{}]|\{[^{}]*\})*\}|sha(256|512):[0-9a-f]{64,128}' \
    <<<"$digests" || true; } | tr '\n\0' ' \n' | sed 's/^/M /'
}

# markers LABEL FORMAT [LABEL=VALUE]: the in-use markers that have a label, and another one if given.
markers() { docker volume ls --filter "label=$1" ${3:+--filter "label=$3"} --format "$2"; }

# inspect LABEL: a line for each marker that has a label: time of creation, volume, service, images.
inspect() {
  local volumes made rest
  volumes=$(markers "$1" '{{.Name}}')
  [ -n "$volumes" ] || return 0
  # An update may just have removed a marker. That is no failure, as long as the engine answers.
  {
    xargs docker volume inspect <<<"$volumes" 2>/dev/null \
      --format "{{.CreatedAt}} {{.Name}} {{index .Labels \"slipway.service\"}} {{index .Labels \"$1\"}}" ||
      markers "$1" '{{.Name}}' >/dev/null
  } | while read -r made rest; do
    echo "$(date -d "$made" +%s) $rest"
  done
}

# The images that services are to run, that hosts serve by the markers, and that hosts serve as the operator saw.
deployed() {
  {
    desired
    markers slipway.serving '{{.Label "slipway.serving"}}'
    [ ! -e "$seen" ] || cat "$seen"
  } | tr -s ' ' '\n' | sed -n '/@/p'
}

# The markers of what services are to run. After failed updates a service has a marker of each version since the last update
# that ended well. All of them count, since an interrupted update may have switched a host without a serving marker; if the
# operator saw every host, only the newest one counts. A marker from the future is due to a wrong clock: it is not the newest.
desired() {
  inspect slipway.deployed | awk -v places="$PLACES" -v complete="$(grep -cx -e --complete "$seen" 2>/dev/null || true)" \
    -v now="$(date +%s)" '
    BEGIN { count = split(places, place, " "); for (i = 1; i <= count; i++) { sub("/.*", "", place[i]); seen[place[i]] } }
    $1 <= now && $1 > newest[$3] { newest[$3] = $1 }
    { line[NR] = $0 }
    END {
      for (i = 1; i <= NR; i++) {
        split(line[i], field, " ")
        if (!complete || !(field[3] in seen) || field[1] >= newest[field[3]] + 0) print line[i]
      }
    }'
}

# The images that have served, with the times.
served() {
  inspect slipway.serving | sed -E 's/^([^ ]+) [^ ]+ [^ ]+/S \1/'
  inspect slipway.served | sed -E 's/^([^ ]+) ([^ ]+) ([^ ]+)/H \2 \3 \1/'
}

# The repositories of services with a host that has no serving marker: an older version of Slipway made the stack, or no
# version of the service has become healthy on that host yet.
unknown() {
  local known place service label
  known=$(markers slipway.serving '{{.Label "slipway.service"}}/{{.Label "slipway.host"}}')
  for place in $PLACES; do
    ! grep -qxF "$place" <<<"$known" || continue
    service=${place%/*}
    for label in slipway.deployed slipway.serving slipway.served; do
      markers "$label" "{{.Label \"$label\"}}" "slipway.service=$service"
    done | tr -s ' ' '\n' | sed -n 's/@.*//p' | sort -u |
      sed "s|\$| nothing says yet what $service serves on ${place#*/}|; s|^|K |"
  done
}

plan() {
  local service recorded
  if [ ! -d "$root/repositories" ]; then
    printf 'total\t0\t0\t0\t0\n'
    return
  fi
  recorded=$(markers slipway.deployed '{{.Label "slipway.service"}}')
  for service in $SERVICES; do
    grep -qxF "$service" <<<"$recorded" ||
      fail 7 "nothing says what $service runs, so no image is removed; \`./slip up --refresh\` makes the record again"
  done
  inventory | awk -f "$here/retention.awk"
}

# total N: the Nth number of the last line of the plan.
total() { awk -F '\t' -v n="$1" '$1 == "total" { print $(n + 1) }' "$run/plan"; }

disk() { df -P "$DATA_PATH" | awk 'NR == 2 { print $5 }'; }

# The registry's process; 0 if the registry does not run. Fails if the engine does not answer: the registry may run all
# the same, since containers survive restarts of the engine.
process() {
  local container
  container=$(docker ps -aq --filter "name=^$registry\$") || return 1
  if [ -z "$container" ]; then echo 0; else docker inspect --format '{{.State.Pid}}' "$container"; fi
}

# mounted PROCESS PATH: `ro` or `rw`, of the topmost mount at a path as a process sees it; empty if it is no mount.
mounted() {
  awk -v path="$2" '$5 == path { split($6, option, ","); how = option[1] } END { print how }' "/proc/$1/mountinfo" 2>/dev/null
}

# remount PROCESS OPTION: remounts the folder inside the registry's container. Its image may have no mount command.
remount() {
  nsenter --mount="/proc/$1/ns/mnt" --root=/ \
    mount --no-canonicalize -o "remount,bind,$2" none "/proc/$1/root$inside" 2>/dev/null
}

# retry SECONDS PAUSE COMMAND…: runs the command until it succeeds, for so many seconds.
retry() {
  local deadline=$((SECONDS + $1)) pause=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep "$pause"
  done
}

is_quiet() { [ -z "$(find "$root" -newermt "-$quiet seconds" -print -quit)" ]; }

# The kernel refuses while a file is open for writing, so no push is cut off in the middle of a layer.
freeze() {
  local pid
  pid=$(process) && [ "$pid" -gt 0 ] || return 1
  [ "$(mounted "$pid" "$inside")" = ro ] || remount "$pid" ro
}

thaw() {
  local pid
  pid=$(process) || return 1
  # A registry that does not run gets the host's present mounts when it starts.
  [ "$pid" -gt 0 ] || return 0
  [ "$(mounted "$pid" "$inside")" != ro ] || remount "$pid" rw || return 1
  [ "$pid" = "$(process)" ]
}

bind() {
  mkdir -p "$2"
  mountpoint -q "$2" || mount --bind "$1" "$2" || return 1
  # Later mounts on top of the folder must not show here.
  mount --make-private "$2"
}

# uploads: the uploads that the registry has open, as paths below repositories. The kernel refuses a read-only folder for them.
uploads() {
  find "/proc/$(process)/fd" -lname '*/_uploads/*' -printf '%l\n' 2>/dev/null |
    sed -n 's|^.*/repositories/\(.*/_uploads/[^/]*\)/.*$|\1|p' | sort -u
}

# old_uploads: those that were begun long ago.
old_uploads() {
  uploads | while read -r upload; do
    find "$writable/docker/registry/v2/repositories/$upload" -maxdepth 1 -name startedat ! -newermt "-$old minutes"
  done
}

# end_uploads: one client that sends a byte now and then would hold up every removal, until the disk is full. A restart ends
# it. The registry then starts on the read-only mount; pulls wait for a second, and a push is begun again by its client.
end_uploads() {
  local open
  open=$(uploads | sed 's|/_uploads/.*||' | sort | uniq -c | awk '{ print $1 " to " $2 }' | paste -sd ,)
  [ -n "$open" ] || return 1
  [ -e "$held" ] || [ -n "$(old_uploads)" ] || return 1
  say "uploads hold up the removal, and the registry's restart ends them: $open"
  docker restart "$registry" >/dev/null && retry $moment 0.1 freeze
}

stop_writing() {
  # The last mount is for a registry that starts meanwhile, after a crash or by an update: it must not write either.
  if bind "$DATA_PATH" "$writable" && bind "$DATA_PATH" "$read_only" &&
    mount -o remount,bind,ro "$read_only" && mount --bind "$read_only" "$DATA_PATH" &&
    { retry $moment 0.1 freeze || end_uploads; }; then
    frozen=$EPOCHREALTIME
    rm -f "$held"
  else
    touch "$held"
    fail 7 "the registry is being written to all the time, or it does not run; the next run ends the uploads that are open"
  fi
}

is_frozen() {
  [ "$(mounted "$(process)" "$inside")" = ro ] && [ "$(mounted self "$DATA_PATH")" = ro ] &&
    [ "$(mounted self "$writable")" = rw ]
}

# Makes the folder read-only between two pushes: a push whose manifest is still missing would lose its layers.
freeze_between_pushes() {
  is_quiet || return 1
  flock 9
  stop_writing
  # A push that has just written a layer still has to push its manifest.
  is_quiet || {
    restore
    flock -u 9
    return 1
  }
}

restore() {
  # The collector must end before anything is written again.
  retry $patience 0.1 stop_collector || fail 7 "Docker Engine does not answer; the registry stays read-only until \`$0 restore\` or a restart"
  # $read_only is mounted before the mount at DATA_PATH, and unmounted after it: while it is mounted, the topmost mount at
  # DATA_PATH is this script's. -l also unmounts it while a process still uses it.
  while mountpoint -q "$read_only" && [ "$(mounted self "$DATA_PATH")" = ro ]; do umount -l "$DATA_PATH"; done
  retry $patience 0.1 thaw || fail 7 "the registry cannot be made writable again; restart it"
  for place in "$read_only" "$writable"; do
    ! mountpoint -q "$place" || umount "$place"
  done
}

stop_collector() {
  local left
  docker rm -f "$collector" >/dev/null 2>&1 || true
  left=$(docker ps -aq --filter "name=^$collector\$") && [ -z "$left" ]
}

collect() {
  local image user
  read -r image user < <(docker inspect --format '{{.Image}} {{.Config.User}}' "$registry")
  # Without --delete-untagged, which would delete the platforms of an index.
  docker run --rm --name "$collector" --network none --read-only --security-opt no-new-privileges \
    --user "$user" --cap-drop ALL \
    --log-driver none --cpu-shares 256 -e OTEL_TRACES_EXPORTER=none -e REGISTRY_LOG_LEVEL=warn \
    -v "$writable:$inside" -v /etc/slipway/registry:/etc/distribution:ro \
    "$image" garbage-collect --quiet /etc/distribution/config.yml
}

# Removes markers that are no longer useful. They are not in the state: the newest marker is of a deployed image, so it stays.
remove_markers() { awk -F '\t' '$1 == "mark" { print $2 }' "$run/plan" | xargs -r docker volume rm -f >/dev/null; }

run() {
  # A killed run may have left its mounts.
  flock 9
  restore
  flock -u 9
  [ "$(process)" -gt 0 ] || fail 7 "the registry does not run"
  [ "$(mounted self "$DATA_PATH")" != ro ] || fail 7 "the registry's disk is mounted read-only"
  plan >"$run/plan"
  if [ "$(total 2)" = 0 ] && [ "$(total 3)" = 0 ]; then
    remove_markers
    say "$(total 1) images, and nothing to remove; the disk is $(disk) full"
    return
  fi
  retry $patience 1 freeze_between_pushes || {
    say "pushes do not pause; not waiting any longer"
    flock 9
    stop_writing
  }
  is_frozen || fail 7 "the registry's folder cannot be made read-only"
  # The second plan includes the latest pushes.
  plan >"$run/plan"
  awk -F '\t' '$1 == "image" { print "slipway: removing " $2 "@" $3 ($4 == "" ? "" : " (" $4 ")") }
    $1 == "left" { print "slipway: " $2 " is left alone: " $3 }' "$run/plan"
  # In the order of the plan, so that an interruption leaves no tag without its image.
  awk -F '\t' '$1 == "remove" { print $2 }' "$run/plan" |
    (cd "$writable/docker/registry/v2/repositories" && xargs -r -d '\n' rm -rf --)
  collect
  restore
  remove_markers
  say "removed $(total 2) images of $(($(total 1) + $(total 2))), which freed $(total 3) bytes; read-only for $(
    awk -v from="${frozen/,/.}" -v to="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.1f", to - from }') s; the disk is $(disk) full"
}

# Removes the lists of commands that were killed: their EXIT trap did not run.
remove_old_lists() { find "$run" -maxdepth 1 -ignore_readdir_race -name "${seen##*/}*" ! -newermt "-$fresh minutes" -delete; }

main() {
  local command=${1-} list
  shift || true
  mkdir -p "$run"
  remove_old_lists
  case $command in
    plan | now)
      [ $# = 0 ] || {
        list=$seen.$$
        printf '%s\n' "$@" >"$list"
        # A run must not read half a list, and a plan must not replace or remove the list of a run.
        if [ "$command" = now ]; then mv "$list" "$seen"; else seen=$list; fi
        trap 'rm -f "$seen"' EXIT
      }
      ;;
  esac
  case $command in
    plan) plan ;;
    now)
      systemctl start slipway-retention.service || {
        journalctl -u slipway-retention.service -n 20 --no-pager -o cat >&2
        exit 7
      }
      cat "$run/plan"
      ;;
    run | restore)
      # The lock excludes an update of the registry's settings; systemd runs this once at a time. `run` does not hold the
      # lock while it waits for a pause between pushes, since an update may be pushing.
      exec 9>/run/slipway-registry.lock
      [ "$command" = run ] || flock 9
      "$command"
      ;;
    *) fail 7 "say plan, now, run or restore" ;;
  esac
}

main "$@"
