#!/usr/bin/env bash
# Removes the images that the registry need not keep, and has the registry collect what nobody needs any more.
# registry.sh installs it on the registry's host, with retention.awk beside it and a timer for it.
#
#   retention plan [SEEN]     says what would go, by the lines of retention.awk, and changes nothing
#   retention now [SEEN]      has the service below do it now, and says what went
#   retention run       what slipway-retention.service runs
#   retention restore   what that service runs afterwards, however it ended: lets the registry write again
#
# SEEN is [--complete] IMAGE…: images that hosts serve, REPOSITORY@DIGEST, as the operator saw there. They stay. The marks on
# this host's engine say the same (components/retention.py), but an update that was interrupted may not have made one.
# --complete says that every app host answered: then failed versions go sooner.
#
# While something is removed nothing may be written: a push could count on a layer that is just going. So the folder is made
# read-only for the registry, as a mount and only for as long as it takes. Pulls go on, nobody is restarted, and nothing
# of it rests on a disk: after a restart of the machine, or of the registry, everything is as always. A push is refused meanwhile
# (HTTP 500, "read-only file system"); the engine tries each layer again for a while.
set -euo pipefail
umask 077

config=${SLIPWAY_RETENTION:-/etc/slipway/retention}
here=$(dirname "$0")
registry=slipway-registry
collector=slipway-registry-gc
inside=/var/lib/registry
run=/run/slipway
# Where everything may still be written, and where nothing may.
writable=$run/registry-data read_only=$run/registry-read-only
# Seconds for which nothing must have been written before we begin, so that we come between two pushes; for how long
# we wait for that; and for how long anything else may take.
quiet=3 patience=600 moment=30

# What the operator saw that hosts serve.
seen=$run/seen

# Comes with KEEP, DAYS, DATA_PATH, SERVICES, and PLACES, which are SERVICE/HOST.
# shellcheck source=/dev/null
. "$config"
root=$DATA_PATH/docker/registry/v2

say() { echo "slipway: $1"; }

fail() {
  say "$1" >&2
  exit 7
}

# What the registry has, for retention.awk.
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
  # Manifests are JSON, on one line or on many. A digest that `subject` names is told apart from all others.
  cd blobs
  # A manifest whose blob is gone has nothing to say; retention.awk notices those that could not be read.
  { xargs -r grep -asHozE \
    '^[[:space:]]*\{|"subject"[[:space:]]*:[[:space:]]*\{([^{}]|\{[^{}]*\})*\}|sha(256|512):[0-9a-f]{64,128}' \
    <<<"$digests" || true; } | tr '\n\0' ' \n' | sed 's/^/M /'
}

# marked LABEL FORMAT [LABEL=VALUE]: what the marks that have a label, and perhaps another, say.
marked() { docker volume ls --filter "label=$1" ${3:+--filter "label=$3"} --format "$2"; }

# inspect LABEL: the marks that have a label, a line each: when they were made, volume, service, images.
inspect() {
  local volumes made rest
  volumes=$(marked "$1" '{{.Name}}')
  [ -n "$volumes" ] || return 0
  # An update may have removed one meanwhile, which is no failure as long as the engine answers.
  {
    xargs docker volume inspect <<<"$volumes" 2>/dev/null \
      --format "{{.CreatedAt}} {{.Name}} {{index .Labels \"slipway.service\"}} {{index .Labels \"$1\"}}" ||
      marked "$1" '{{.Name}}' >/dev/null
  } | while read -r made rest; do
    echo "$(date -d "$made" +%s) $rest"
  done
}

# The images that services are to run, that hosts serve by their marks, and that they serve as the operator saw.
deployed() {
  {
    wanted
    marked slipway.serving '{{.Label "slipway.serving"}}'
    [ ! -e "$seen" ] || cat "$seen"
  } | tr -s ' ' '\n' | sed -n '/@/p'
}

# After failed updates a service has a mark of each version since the last update that ended well. They all count, since an
# interrupted update may have moved a host without a mark of that; but where every host was seen, only the last one does.
wanted() {
  inspect slipway.deployed | awk -v places="$PLACES" -v complete="$(grep -cx -e --complete "$seen" 2>/dev/null || true)" \
    -v now="$(date +%s)" '
    BEGIN { count = split(places, place, " "); for (i = 1; i <= count; i++) { sub("/.*", "", place[i]); seen[place[i]] } }
    # A time to come is of a clock that was wrong, and says nothing.
    $1 <= now && $1 > newest[$3] { newest[$3] = $1 }
    { line[NR] = $0 }
    END {
      for (i = 1; i <= NR; i++) {
        split(line[i], field, " ")
        if (!complete || !(field[3] in seen) || field[1] >= newest[field[3]] + 0) print line[i]
      }
    }'
}

# What has served, and when.
served() {
  inspect slipway.serving | sed -E 's/^([^ ]+) [^ ]+ [^ ]+/S \1/'
  inspect slipway.served | sed -E 's/^([^ ]+) ([^ ]+) [^ ]+/H \2 \1/'
}

# The repositories of services that serve something unknown: on a host of a stack that the version before these marks made,
# or on one where no version has got healthy yet.
unknown() {
  local known place service label
  known=$(marked slipway.serving '{{.Label "slipway.service"}}/{{.Label "slipway.host"}}')
  for place in $PLACES; do
    ! grep -qxF "$place" <<<"$known" || continue
    service=${place%/*}
    for label in slipway.deployed slipway.serving slipway.served; do
      marked "$label" "{{.Label \"$label\"}}" "slipway.service=$service"
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
  recorded=$(marked slipway.deployed '{{.Label "slipway.service"}}')
  for service in $SERVICES; do
    grep -qxF "$service" <<<"$recorded" ||
      fail "nothing says what $service runs, so no image is removed; \`./slip up --refresh\` makes the record again"
  done
  inventory | awk -f "$here/retention.awk"
}

# total N: the Nth number of the plan's last line.
total() { awk -F '\t' -v n="$1" '$1 == "total" { print $(n + 1) }' "$run/plan"; }

disk() { df -P "$DATA_PATH" | awk 'NR == 2 { print $5 }'; }

# The registry's process, 0 where it does not run. Fails where the engine does not answer, which says nothing: containers
# outlive its restarts.
process() {
  local container
  container=$(docker ps -aq --filter "name=^$registry\$") || return 1
  if [ -z "$container" ]; then echo 0; else docker inspect --format '{{.State.Pid}}' "$container"; fi
}

# mounted PROCESS PATH: how a path is mounted on top, `ro` or `rw`, as a process sees it; nothing where it is no mount.
mounted() {
  awk -v path="$2" '$5 == path { split($6, option, ","); how = option[1] } END { print how }' "/proc/$1/mountinfo" 2>/dev/null
}

# remount PROCESS OPTION: the registry's own mount, from outside: its image may have no mount command.
remount() {
  nsenter --mount="/proc/$1/ns/mnt" --root=/ \
    mount --no-canonicalize -o "remount,bind,$2" none "/proc/$1/root$inside" 2>/dev/null
}

# patiently SECONDS PAUSE COMMAND…: does it until that works, for so long.
patiently() {
  local deadline=$((SECONDS + $1)) pause=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep "$pause"
  done
}

is_quiet() { [ -z "$(find "$root" -newermt "-$quiet seconds" -print -quit)" ]; }

# The kernel refuses while a file is open for writing: so nobody is cut off in the middle of a layer.
freeze() {
  local pid
  pid=$(process) && [ "$pid" -gt 0 ] || return 1
  [ "$(mounted "$pid" "$inside")" = ro ] || remount "$pid" ro
}

thaw() {
  local pid
  pid=$(process) || return 1
  # A registry that does not run will start with what the host has by now.
  [ "$pid" -gt 0 ] || return 0
  [ "$(mounted "$pid" "$inside")" != ro ] || remount "$pid" rw || return 1
  [ "$pid" = "$(process)" ]
}

bind() {
  mkdir -p "$2"
  mountpoint -q "$2" || mount --bind "$1" "$2" || return 1
  # What is mounted on top of the folder must not appear here too.
  mount --make-private "$2"
}

stop_writing() {
  # A registry that is started meanwhile, after a crash or by an update, must not write either: hence the last mount.
  if bind "$DATA_PATH" "$writable" && bind "$DATA_PATH" "$read_only" &&
    mount -o remount,bind,ro "$read_only" && mount --bind "$read_only" "$DATA_PATH" && patiently $moment 0.1 freeze; then
    frozen=$EPOCHREALTIME
  else
    fail "somebody is writing without end, or the registry does not run; the next run tries again"
  fi
}

is_frozen() {
  [ "$(mounted "$(process)" "$inside")" = ro ] && [ "$(mounted self "$DATA_PATH")" = ro ] &&
    [ "$(mounted self "$writable")" = rw ]
}

# Between two pushes: one whose layers are there and whose manifest is not would lose them.
come_between() {
  is_quiet || return 1
  flock 9
  stop_writing
  # Whoever was still writing a layer has a manifest to push now.
  is_quiet || {
    restore
    flock -u 9
    return 1
  }
}

restore() {
  # It must be gone before anything is written again.
  patiently $patience 0.1 stop_collector || fail "Docker Engine does not answer; the registry stays read-only until \`$0 restore\` or a restart"
  # Ours, since it comes after that place and goes before it. Whoever still looks at it keeps it for himself.
  while mountpoint -q "$read_only" && [ "$(mounted self "$DATA_PATH")" = ro ]; do umount -l "$DATA_PATH"; done
  patiently $patience 0.1 thaw || fail "the registry cannot be made writable again; restart it"
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
  local image
  image=$(docker inspect --format '{{.Image}}' "$registry")
  # Never with --delete-untagged: it takes platforms for untagged images.
  docker run --rm --name "$collector" --network none --read-only --security-opt no-new-privileges \
    --log-driver none --cpu-shares 256 -e OTEL_TRACES_EXPORTER=none -e REGISTRY_LOG_LEVEL=warn \
    -v "$writable:$inside" -v /etc/slipway/registry:/etc/distribution:ro \
    "$image" garbage-collect --quiet /etc/distribution/config.yml
}

# Pulumi keeps none of these: the mark that it made last is of an image that is deployed.
remove_marks() { awk -F '\t' '$1 == "mark" { print $2 }' "$run/plan" | xargs -r docker volume rm -f >/dev/null; }

run() {
  # What a run before us may have left, after which not even systemd could clear up.
  flock 9
  restore
  flock -u 9
  [ "$(process)" -gt 0 ] || fail "the registry does not run"
  [ "$(mounted self "$DATA_PATH")" != ro ] || fail "the registry's disk is mounted read-only"
  plan >"$run/plan"
  if [ "$(total 2)" = 0 ] && [ "$(total 3)" = 0 ]; then
    remove_marks
    say "$(total 1) images, and nothing to remove; the disk is $(disk) full"
    return
  fi
  patiently $patience 1 come_between || {
    say "somebody is pushing without end; not waiting any longer"
    flock 9
    stop_writing
  }
  is_frozen || fail "the registry's folder cannot be made read-only"
  # What was pushed since then counts.
  plan >"$run/plan"
  awk -F '\t' '$1 == "image" { print "slipway: removing " $2 "@" $3 ($4 == "" ? "" : " (" $4 ")") }
    $1 == "left" { print "slipway: " $2 " is left alone: " $3 }' "$run/plan"
  # In this order, so that whoever stops us anywhere leaves no tag without its image.
  awk -F '\t' '$1 == "remove" { print $2 }' "$run/plan" |
    (cd "$writable/docker/registry/v2/repositories" && xargs -r -d '\n' rm -rf --)
  collect
  restore
  remove_marks
  say "removed $(total 2) images of $(($(total 1) + $(total 2))), which freed $(total 3) bytes; read-only for $(
    awk -v from="${frozen/,/.}" -v to="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.1f", to - from }') s; the disk is $(disk) full"
}

main() {
  local command=${1-}
  shift || true
  mkdir -p "$run"
  case $command in
    plan | now)
      [ $# = 0 ] || {
        printf '%s\n' "$@" >"$seen"
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
      # Not beside an update of the registry's settings; systemd sees to it that there is one of us. The lock is not held
      # while we wait for a quiet moment, since an update may be what is going on.
      exec 9>/run/slipway-registry.lock
      [ "$command" = run ] || flock 9
      "$command"
      ;;
    *) fail "say plan, now, run or restore" ;;
  esac
}

main "$@"
