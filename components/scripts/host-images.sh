#!/usr/bin/env bash
# Removes the images of services that this host no longer needs, and keeps its build cache within a size.
# engine.sh installs it on each host, with a timer for it. `slip prune --hosts` runs it at once.
#
#   host-images plan   prints what `now` would remove, and changes nothing
#   host-images now    prints it and removes it; no update may run meanwhile
#   host-images run    for slipway-host-images.service, beside updates
#
# An update pulls an image some time before a container has it. So `run` removes only what the run before saw unused, too.
#
# Only images of the stack are looked at: those of its registry, and those that switch.sh has noted as healthy. Of these stay
# those of a container, even one that has ended; of each service the last KEEP that were healthy here; and of a repository of
# which none has ever been healthy here, as on the host that builds, the newest KEEP. The registry has its own rule, so what
# goes here can be pulled again.
set -euo pipefail

# It sets REGISTRY, which is host:port or host:port/path; KEEP, a number of images; and CACHE, GiB.
# shellcheck source=/dev/null
. "${SLIPWAY_HOST_IMAGES:-/etc/slipway/host-images}"

healthy=${SLIPWAY_HEALTHY:-/var/lib/slipway/healthy}
unused=${SLIPWAY_UNUSED:-/run/slipway/unused-images}
engine=/var/lib/docker

# used: the ids of the images that containers have.
used() { docker ps -aq --no-trunc | xargs -r docker inspect --format '{{.Image}}' | sort -u; }

# noted: a line for each image that switch.sh has noted: the service, its id; the newest last. Those of removed services have
# a service in the form @NAME.
noted() {
  local file
  for file in "$healthy"/*; do
    [ ! -f "$file" ] || sed "s|^|${file##*/} |" "$file"
  done
}

# images: a line for each name of an image: id, repository, tag, digest, size. Newest first.
images() {
  docker images --no-trunc --digests --format '{{.ID}}\t{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.Size}}'
}

# plan: a line for each image that can go, its fields separated by tabs: `image`, id, size, its names separated by blanks.
plan() {
  local using notes all
  # If the engine does not answer, nothing may look unused.
  using=$(used)
  notes=$(noted)
  all=$(images)
  awk -F '\t' -v registry="$REGISTRY/" -v keep="$KEEP" '
    FILENAME == ARGV[1] { if ($0 != "") stays[$0] = 1; next }
    FILENAME == ARGV[2] {
      if (split($0, word, " ") == 2) { ours[word[2]] = 1; note[++notes] = $0 }
      next
    }
    $2 != "<none>" || $4 != "<none>" {
      if (!($1 in size)) { order[++count] = $1; size[$1] = $5 }
      if (index($2, registry) == 1) ours[$1] = 1
      if ($3 != "<none>") add($1, $2 ":" $3)
      if ($4 != "<none>") add($1, $2 "@" $4)
      if (!(($2, $1) in met)) { met[$2, $1] = 1; of[++pairs] = $2; has[pairs] = $1 }
    }
    function add(id, name) { if (!((id, name) in named)) { named[id, name] = 1; names[id] = names[id] " " name } }
    END {
      for (i = notes; i > 0; i--) {
        split(note[i], word, " ")
        if (word[1] !~ /^@/ && kept[word[1]]++ < keep) stays[word[2]] = 1
        known[word[2]] = 1
      }
      for (i = 1; i <= pairs; i++) if (has[i] in known) ran[of[i]] = 1
      for (i = 1; i <= pairs; i++) if (!(of[i] in ran) && newest[of[i]]++ < keep) stays[has[i]] = 1
      for (i = 1; i <= count; i++)
        if (order[i] in ours && !(order[i] in stays))
          print "image\t" order[i] "\t" size[order[i]] "\t" substr(names[order[i]], 2)
    }' <(echo "$using") <(echo "$notes") - <<<"$all"
}

# remove PLAN: removes the images of a plan, name by name. The engine itself refuses what a container has.
remove() {
  local size names name left=0
  while IFS=$'\t' read -r _ _ size names; do
    for name in $names; do docker rmi "$name" >/dev/null 2>&1 </dev/null || left=$((left + 1)); done
    echo "slipway: removed $names ($size)"
  done <"$1"
  [ "$left" = 0 ] || echo "slipway: $left names of images stay, since something uses them"
}

# bound_cache: build steps that were used last stay, up to CACHE GiB.
bound_cache() { docker builder prune --all --force --keep-storage "${CACHE}GB" >/dev/null; }

free() { df -B1 --output=avail "$engine" | tail -n 1; }

# forget_gone: the notes of removed services, once their images are gone.
forget_gone() {
  local file
  for file in "$healthy"/@*; do
    [ -f "$file" ] || continue
    xargs -r docker image inspect --format . <"$file" 2>/dev/null | grep -q . || rm -f "$file"
  done
}

main() {
  local now before
  now=$(mktemp)
  # shellcheck disable=SC2064 # the file of this run
  trap "rm -f '$now'" EXIT
  plan >"$now"
  case "$1" in
    plan | now)
      cat "$now"
      [ "$1" = now ] || return 0
      ;;
    run)
      mkdir -p "${unused%/*}"
      touch "$unused"
      cut -f 2 "$now" >"$unused.new"
      grep -F -f "$unused" "$now" >"$now.seen" || true
      [ -s "$unused" ] || : >"$now.seen"
      mv "$now.seen" "$now"
      mv "$unused.new" "$unused"
      ;;
  esac
  before=$(free)
  remove "$now"
  bound_cache
  forget_gone
  # Other things write to the disk, too.
  before=$(($(free) - before))
  echo "freed $((before > 0 ? before : 0))"
}

main "$@" </dev/null
