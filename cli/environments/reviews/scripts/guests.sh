#!/usr/bin/env bash
# What this host has of review environments that are guests there: of other stacks than the host's own.
# It runs on each host of that stack, on standard input, and can run again at any time.
#
# A guest's name, pr-NUMBER, is a label of its containers, volumes and networks. The names of its services begin with it and
# a hyphen, and so do its files. Its images are in the registry below review-NUMBER/NAME.
#
# Values:
#   ACTION    list prints the names of all guests; remove removes one, and prints `removed` if there was anything, and a line
#             `left WHAT` for what it cannot remove
#   STACK     the guest's name; empty for list
set -euo pipefail

: "${ACTION:?}" "${STACK?}"

switch=/usr/local/lib/slipway/switch
repositories=/var/lib/slipway/registry/docker/registry/v2/repositories
units=/etc/systemd/system
tries=5

engine_answers() {
  docker version >/dev/null 2>&1 || {
    echo "Docker Engine does not answer" >&2
    exit 1
  }
}

# files STACK: its files and directories of services. The registry's data and backups are elsewhere.
files() {
  find /etc/slipway /run/slipway/secrets /var/lib/slipway/healthy /var/lib/slipway/secrets /run/slipway-* -maxdepth 3 \
    \( -name "$1-*" -o -name "@$1-*" -o -name ".$1-*" -o -name "*.$1-*.html" \) -prune -print 2>/dev/null || true
  find /run "$units" -maxdepth 1 -name "slipway-*-$1-*" -print
}

# routes STACK: the records of routes that lead to its containers, or to none any more that was one of them.
routes() { grep -l "^$1-" /etc/slipway/routes/@* 2>/dev/null || true; }

containers() { docker ps -aq --filter "label=slipway.stack=$1"; }
volumes() { docker volume ls -q --filter "label=slipway.stack=$1"; }
networks() { docker network ls -q --filter "label=slipway.stack=$1"; }
images() { docker images --digests --format '{{.Repository}} {{.Tag}} {{.Digest}}' | grep -E "^[^ ]*/review-[0-9]+/$1/" || true; }
folders() {
  [ ! -d "$repositories" ] || find "$repositories" -mindepth 2 -maxdepth 2 -path "$repositories/review-*/$1" -print
}

# has STACK: a line for each thing that there is of it.
has() {
  containers "$1" | sed 's/^/container /'
  volumes "$1" | sed 's/^/volume /'
  networks "$1" | sed 's/^/network /'
  images "$1" | sed 's/^/image /; s/ [^ ]* [^ ]*$//'
  routes "$1" | sed 's/^/route /'
  files "$1"
  folders "$1" | sed 's|^.*/repositories/|repository |'
}

# list: the names of all guests.
list() {
  {
    docker ps -a --format '{{.Label "slipway.stack"}}'
    docker volume ls --format '{{.Label "slipway.stack"}}'
    docker network ls --format '{{.Label "slipway.stack"}}'
    docker images --format '{{.Repository}}' | sed -nE 's|^.*/review-[0-9]+/(pr-[0-9]+)/.*|\1|p'
    [ ! -d "$repositories" ] || find "$repositories" -mindepth 2 -maxdepth 2 -path "$repositories/review-*" -printf '%f\n'
    files 'pr-[1-9]*' | sed -nE 's|^.*/[.@]?(slipway-job-)?(pr-[0-9]+)-.*|\2|p'
  } | grep -xE 'pr-[0-9]+' | sort -u || true
}

# services: the names of its services here.
services() {
  {
    docker ps -a --filter "label=slipway.stack=$STACK" --format '{{.Label "slipway.service"}}'
    find /etc/slipway/jobs /etc/slipway/services /etc/slipway/checked -name "$STACK-*" -printf '%f\n' 2>/dev/null || true
  } | grep "^$STACK-" | sort -u || true
}

remove_once() {
  local service file name tag digest
  for service in $(services); do "$switch" --remove "$service" || true; done
  # Records that lead to a container that is gone.
  for file in $(routes "$STACK"); do rm -f "$file"; done
  containers "$STACK" | xargs -r docker rm -f >/dev/null || true
  volumes "$STACK" | xargs -r docker volume rm -f >/dev/null || true
  networks "$STACK" | xargs -r docker network rm >/dev/null || true
  for file in $(files "$STACK"); do
    case "$file" in
      *.timer) systemctl -q disable --now "${file##*/}" || true ;;
    esac
    rm -rf "$file"
  done
  # What the proxy has read of these files goes, too.
  [ ! -x "$switch" ] || ! docker container inspect slipway-proxy >/dev/null 2>&1 || "$switch" --certificates || true
  images "$STACK" | while read -r name tag digest; do
    [ "$tag" = '<none>' ] || docker rmi "$name:$tag" >/dev/null || true
    [ "$digest" = '<none>' ] || docker rmi "$name@$digest" >/dev/null 2>&1 || true
  done
}

# remove_folders: takes its images out of the registry. The layers go with a run of retention that begins after this: a run
# that is under way may have counted them already, so the first start waits for its end.
remove_folders() {
  local folder
  # Retention makes the registry's folder read-only for a moment.
  exec 9>/run/slipway-registry.lock
  flock -w 120 9 || return 0
  for folder in $(folders "$STACK"); do
    rm -rf "$folder"
    rmdir --ignore-fail-on-non-empty "${folder%/*}" || true
  done
  exec 9>&-
  [ ! -e "$units/slipway-retention.service" ] || systemd-run --quiet --collect --no-block \
    sh -c 'systemctl start slipway-retention.service; systemctl start slipway-retention.service' || true
}

remove() {
  local left try
  left=$(has "$STACK")
  [ -n "$left" ] || return 0
  echo removed
  for try in $(seq "$tries"); do
    [ "$try" = 1 ] || sleep 1
    remove_once
    [ -z "$(folders "$STACK")" ] || remove_folders
    left=$(has "$STACK")
    [ -n "$left" ] || return 0
  done
  while IFS= read -r line; do echo "left $line"; done <<<"$left"
}

main() {
  engine_answers
  case "$ACTION" in
    list) list ;;
    remove) remove ;;
  esac
}

main </dev/null
