#!/usr/bin/env bash
# Backups of a service's data, by restic, and restoring them. backup-setup.sh installs it on the hosts of services that have
# backups, with its settings for each service and a timer that runs it.
#
#   backup run SERVICE              makes a backup, and notes how that ended: for slipway-backup-SERVICE.service
#   backup make SERVICE             makes one, and notes nothing
#   backup now SERVICE [new]        has systemd make one now, and prints what became of it. With `new`, in a repository that
#                                   is made if the former one is gone
#   backup list SERVICE             prints all backups, as restic's JSON in one line
#   backup restore SERVICE ID       puts a backup in place of the service's data, which stays in volumes of other names
#   backup drill SERVICE ID         restores it into volumes and a container that go afterwards, beside those that serve
#   backup inside SERVICE SUFFIX WORD…
#                                   for itself: runs restic in a directory with the volumes, in a mount namespace of its own
#
# A restore first puts the data into fresh volumes and starts a twin (once.sh) of the service's container on them. Only if
# all this has succeeded, the service stops.
#
# frontend.sh, limits.sh, routes.sh, services.sh and once.sh come ahead of it, as of switch.sh.
# shellcheck disable=SC2034,SC2154 # variables of these, and of the settings
set -euo pipefail
# An operator's connection may end amid a restore, which goes on.
trap '' PIPE

configured=/etc/slipway/backups
private=/var/lib/slipway/backup
switch=/usr/local/lib/slipway/switch
try_label=slipway.restore
# As in switch.sh.
processes=4096
# What the end of the script takes back: containers that it has stopped, fresh volumes, and a container that runs on them.
paused=() fresh=() twin=''
# restic writes times as this says.
export TZ=UTC

tell() { printf 'slipway: %s\n' "$*" || true; }

# load SERVICE: reads its settings: repository, target, port, stack, kind (command or volumes), saved and mounted (names of
# volumes), dump_words, restore_words, check_words, stops, keep, well (how it is known to be healthy), domain, health_timeout,
# stop_grace, own_limit.
load() {
  service=$1
  [ -e "$configured/$service" ] || fail 2 "$service has no backup on $(hostname); \`./slip up\` sets it up"
  # shellcheck source=/dev/null
  . "$configured/$service"
  own=$private/$service
}

# take_turn: waits for nothing: one thing at a time is done with a service's data.
take_turn() {
  exec 8>"/run/slipway-backup-$service.lock"
  flock -n 8 || fail 75 "another backup, restore or drill of $service is under way on $(hostname)"
}

# repo WORD…: runs restic. Passwords and keys are in files and variables, which only root can read.
repo() {
  local options=()
  case "$repository" in
    sftp:*)
      options=(-o "sftp.command=ssh -i $own/id -p $port -o UserKnownHostsFile=$own/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -F none -s $target sftp")
      ;;
  esac
  if [ -e "$own/keys" ]; then
    # shellcheck source=/dev/null
    (set -a && . "$own/keys" && exec restic -r "$repository" --password-file "$own/password" --cache-dir /var/cache/slipway/backup "$@")
  else
    restic -r "$repository" --password-file "$own/password" --cache-dir /var/cache/slipway/backup "${options[@]}" "$@"
  fi
}

# reason: what went wrong, of what restic says on standard input: SSH's own words rather than what follows from them.
reason() {
  local said line
  said=$(cat)
  line=$(grep -m 1 '^subprocess ssh: ' <<<"$said") || line=$(grep -v '^$' <<<"$said" | tail -n 1) || true
  echo "${line#subprocess }"
}

# reach: finds the repository, or makes the first one. A directory that is not mounted, or a disk that was replaced, is none.
reach() {
  local said
  case "$repository" in
    /*) [ -d "${repository%/*/*}" ] || fail 7 "there is no directory ${repository%/*/*} on $(hostname)" \
      "to mend it: mount it, or make it" ;;
  esac
  if said=$(repo cat config 2>&1 >/dev/null); then
    touch "$own/found"
    return
  fi
  if [ -e "$own/found" ]; then
    fail 7 "the backups of $service cannot be read: $(reason <<<"$said")" \
      "if they are lost, \`./slip backup $service --new\` begins anew"
  fi
  said=$(repo init 2>&1) || fail 7 "the place for the backups of $service cannot be used: $(reason <<<"$said")"
  touch "$own/found"
}

# ids: the short ids in restic's JSON on standard input.
ids() { grep -o '"short_id":"[0-9a-f]*"' | cut -d '"' -f 4 || true; }

# forget_unfinished: removes what killed runs have left. One is unfinished until it is whole.
forget_unfinished() {
  local left
  repo unlock -q
  left=$(repo snapshots --json --tag unfinished | ids)
  # shellcheck disable=SC2086 # one word a backup
  [ -z "$left" ] || repo forget -q $left
}

volume_of() { docker volume inspect --format '{{.Mountpoint}}' "$service.$1$2"; }

# within SUFFIX WORD…: runs restic in a directory that has each of the volumes; SUFFIX is the end of the volumes' names.
within() { unshare --mount "$0" inside "$service" "$@"; }

# inside SUFFIX WORD…
inside() {
  local suffix=$1 name stage=/run/slipway-backup/$service
  shift
  for name in "${saved[@]}"; do
    mkdir -p "$stage/$name"
    mount --bind "$(volume_of "$name" "$suffix")" "$stage/$name"
  done
  cd "$stage"
  repo "$@"
}

# pause: stops the service for as long as this process lives. slipway-keep and an engine that starts look at the file.
pause() {
  local name
  look_around
  for name in $(containers_of "$service"); do
    is_running "$name" || continue
    paused+=("$name")
    echo "$$" >"/run/slipway-away-$name"
    end "$name" "$stop_grace"
  done
  trap 'go_on' EXIT
}

go_on() {
  local name
  [ "${#paused[@]}" != 0 ] || return 0
  for name in "${paused[@]}"; do rm -f "/run/slipway-away-$name"; done
  paused=()
  trap - EXIT
  "$switch" --restore
}

save() {
  local said=$own/said id size container
  if [ "$kind" = command ]; then
    container=$(serves "$service")
    docker exec "$container" "${dump_words[@]}" </dev/null |
      repo backup --json --host "$stack" --tag unfinished --stdin --stdin-filename "$service" >"$said"
  else
    if $stops; then pause; fi
    within '' backup --json --host "$stack" --tag unfinished . >"$said"
    look_around
    if $stops && [ -n "$(running_of "$service")" ]; then
      fail 8 "an update has started $service amid its backup, which is of no use then"
    fi
    go_on
  fi
  id=$(grep -o '"snapshot_id":"[0-9a-f]*"' "$said" | tail -n 1 | cut -d '"' -f 4) || true
  size=$(grep -o '"total_bytes_processed":[0-9]*' "$said" | tail -n 1 | cut -d : -f 2) || true
  [ -n "$id" ] || fail 8 "restic says of no backup that it has made"
  if [ "$kind" = command ] && [ "${size:-0}" = 0 ]; then fail 8 "the command of the backup printed nothing"; fi
  # From here on it counts.
  repo tag -q --set "$layout,bytes=${size:-0}" "$id"
  echo "bytes ${size:-0}"
}

make() {
  local started=$SECONDS
  take_turn
  reach
  forget_unfinished
  save
  # It is safe whether or not this succeeds.
  repo forget -q --host "$stack" --group-by '' --keep-daily "$keep" --keep-within 1d --prune ||
    echo "old backups could not be removed"
  echo "took $((SECONDS - started)) s"
}

# run: notes how it ended: `.SERVICE.last` has, separated by tabs, the exit status, when it began and ended, when one last
# succeeded, how many have failed since, the bytes of the last good one, and why it failed.
run() {
  local log status=0 started=$EPOCHSECONDS good=0 misses=0 bytes=0 why='' last=$configured/.$service.last
  log=$(mktemp)
  [ ! -e "$last" ] || IFS=$'\t' read -r _ _ _ good misses bytes _ <"$last" || true
  "$0" make "$service" >"$log" 2>&1 || status=$?
  cat "$log"
  if [ "$status" = 0 ]; then
    good=$EPOCHSECONDS misses=0
    bytes=$(sed -n 's/^bytes //p' "$log")
    why=$(grep -m 1 '^old backups' "$log") || true
  else
    misses=$((misses + 1))
    # Remedies come behind reasons.
    why=$(grep -v '^$\|^slipway: to mend it\|^slipway: if ' "$log" | reason | tr '\t' ' ' | LC_ALL=C tr -d '\000-\037\177' | cut -c 1-300) || true
    why=${why#slipway: }
  fi
  rm -f "$log"
  put "$last" 0644 < <(printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$status" "$started" "$EPOCHSECONDS" "$good" "$misses" "${bytes:-0}" "$why")
  [ "$status" = 0 ] || fail 1 "the backup of $service failed: ${why:-exit status $status}"
}

now_by_systemd() {
  local status why bytes
  [ "${1:-}" != new ] || rm -f "$own/found"
  systemctl start "slipway-backup-$service.service" 2>/dev/null || true
  IFS=$'\t' read -r status _ _ _ _ bytes why <"$configured/.$service.last" || true
  [ "$status" = 0 ] || fail 1 "the backup of $service failed: $why"
  tell "$service is backed up, $(numfmt --to=iec "$bytes")B.${why:+ $why}"
}

# fit ID: whether a backup is one of this service as it is now. Sets `taken` to when it was made.
fit() {
  local said tags
  said=$(repo snapshots --json "$1") || fail 7 "there is no backup $1 of $service"
  # shellcheck disable=SC2001 # several groups
  tags=$(sed -n 's/.*"tags":\[\([^]]*\)\].*/\1/p' <<<"$said" | tr -d '"')
  taken=$(sed -n 's/.*"time":"\([0-9-]*\)T\([0-9:]*\).*/\1 \2/p' <<<"$said")
  case ",$tags," in
    *",unfinished,"*) fail 7 "the backup $1 is not whole: it was interrupted" ;;
    *",$layout,"*) ;;
    *)
      fail 7 "the backup $1 is of ${tags%,bytes=*}, and $service has ${layout} now: nothing was changed" \
        "choose another backup, or set the service's volumes and backup as they were"
      ;;
  esac
}

# clear_tries: removes what a killed restore or drill has left. If it was killed between two renames, the volume comes back.
clear_tries() {
  local name line
  for name in $(docker ps -aq --filter "label=$try_label=$service"); do docker rm -fv "$name" >/dev/null 2>&1 || true; done
  if [ -e "$own/trying" ]; then
    while read -r line; do docker volume rm "$line" >/dev/null 2>&1 || true; done <"$own/trying"
    rm -f "$own/trying"
  fi
  if [ -e "$own/swapping" ]; then
    while read -r name line; do
      finish_swap "$name" "$line"
    done <"$own/swapping"
    rm -f "$own/swapping"
  fi
}

# swap VOLUME FRESH: the two change places, data and all: a volume cannot be renamed, and containers know it by its name.
swap() {
  mv -T "$1" "$2.old"
  mv -T "$2" "$1"
  mv -T "$2.old" "$2"
}

# finish_swap VOLUME FRESH: after a kill amid `swap`, the former data is where it was.
finish_swap() {
  if [ -e "$2.old" ] && [ ! -e "$1" ]; then
    mv -T "$2.old" "$1"
  elif [ -e "$2.old" ]; then
    mv -T "$2.old" "$2"
  fi
}

# base: the service's container, whether it runs or not.
base() {
  local key name
  look_around
  name=$(own_target "$service")
  for key in $(keys "$service"); do name=$(target_of "$key"); done
  exists "$name" || fail 7 "$service has no container on $(hostname), which a restore needs" \
    "\`./slip up\` makes one, with empty volumes"
  echo "$name"
}

# is_fine CONTAINER: one look at its health, in the way of its settings.
is_fine() {
  local at rest
  at=$(docker container inspect "$1" --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}') || return
  at=${at%% *}
  case "$well" in
    tcp:*) timeout 5 bash -c "</dev/tcp/$at/${well#tcp:}" 2>/dev/null ;;
    http:*)
      rest=${well#http:}
      case "$(curl -g --noproxy '*' --path-as-is -s -o /dev/null -w '%{http_code}' --max-time 5 ${domain:+-H "Host: $domain"} "http://$at:${rest%%:*}${rest#*:}")" in
        2??) ;;
        *) return 1 ;;
      esac
      ;;
    command) timeout 30 docker exec "$1" "${test[@]}" >/dev/null 2>&1 </dev/null ;;
    *) sleep 1 ;;
  esac
}

# wait_until_fine CONTAINER: false if it ends, or is not healthy in time.
wait_until_fine() {
  local deadline=$((SECONDS + health_timeout)) container=$1 test=()
  [ "$well" != command ] || read_test
  while [ "$(docker container inspect "$1" --format '{{.State.Running}}')" = true ]; do
    ! is_fine "$1" || return 0
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.3
  done
  return 1
}

give_back() {
  local line
  [ -z "$twin" ] || docker rm -fv "$twin" >/dev/null 2>&1 || true
  for line in "${fresh[@]}"; do docker volume rm "$line" >/dev/null 2>&1 || true; done
  rm -f "$own/trying"
}

# fail_try REASON: ends a restore or drill before anything was changed.
fail_try() {
  local logs=''
  [ -z "$twin" ] || logs=$(docker logs --tail 10 "$twin" 2>&1) || true
  give_back
  trap - EXIT
  fail 9 "$1" "nothing was changed: $service is as it was" ${logs:+"the last lines of the container that it was tried in:" "$logs"}
}

# try ID: restores a backup into fresh volumes, and has a twin run with them. Sets `fresh` to the volumes and `suffix` to the
# end of their names.
try() {
  local id=$1 container name bind binds='' value log
  suffix=.before-$(date -u +%Y%m%d-%H%M%S)
  container=$(base)
  trap give_back EXIT
  for name in "${mounted[@]}"; do
    fresh+=("$service.$name$suffix")
    printf '%s\n' "${fresh[@]}" >"$own/trying"
    docker volume create --label "slipway.stack=$stack" --label "slipway.volume=$service" "${fresh[-1]}" >/dev/null
  done
  if [ "$kind" = volumes ]; then
    tell "restoring into fresh volumes"
    log=$(within "$suffix" restore -q "$id" --target . 2>&1) || fail_try "restic could not restore it: $(reason <<<"$log")"
  fi
  # The last `Binds` of a request counts for the engine: the fresh volumes, and all else without the right to write.
  while IFS= read -r bind; do
    [ -n "$bind" ] || continue
    case "${bind%%:*}" in
      "$service".*) bind=${bind%%:*}$suffix:${bind#*:} ;;
      *) bind=${bind%:rw} bind=${bind%:ro}:ro ;;
    esac
    json "$bind"
    binds="$binds${binds:+,}$value"
  done < <(docker container inspect "$container" --format '{{range .HostConfig.Binds}}{{println .}}{{end}}')
  more_of_host="\"Binds\":[$binds],"
  more=$(docker container inspect "$container" --format '{{with .Config.StopSignal}}"StopSignal":{{json .}},{{end}}')
  twin=slipway-restore-$service-$(printf '%x' "$EPOCHSECONDS")
  twin "$container" "$twin" "$try_label" "$service"
  tell "starting a container of $service with them, beside the one that serves"
  log=$(docker start "$twin" 2>&1 </dev/null) || fail_try "a container with the restored data cannot be started: $log"
  wait_until_fine "$twin" || fail_try "a container with the restored data was not healthy within $health_timeout s"
  if [ "$kind" = command ]; then
    tell "restoring into it by the command"
    log=$(repo dump "$id" "/$service" | docker exec -i "$twin" "${restore_words[@]}" 2>&1 >/dev/null) ||
      fail_try "the restore command failed: $(tail -n 1 <<<"$log")"
  fi
  if [ "${#check_words[@]}" != 0 ]; then
    tell "running the check"
    log=$(docker exec "$twin" "${check_words[@]}" 2>&1 </dev/null) || fail_try "the check of the restored data failed: $(tail -n 1 <<<"$log")"
  fi
  end "$twin" "$stop_grace"
}

put_in_place() {
  local name container stays_halted=false files=() line
  try "$1"
  docker rm -fv "$twin" >/dev/null
  if is_halted "$service"; then stays_halted=true; fi
  tell "stopping $service"
  "$switch" --halt "$service"
  look_around
  [ -z "$(running_of "$service")" ] || fail_try "$service does not stop"
  # From here on they are no leftovers: at each moment one of the two has the data until now.
  trap - EXIT
  rm -f "$own/trying"
  for name in "${saved[@]}"; do
    printf '%s %s\n' "$(volume_of "$name" '')" "$(volume_of "$name" "$suffix")"
  done >"$own/swapping"
  while read -r line name; do swap "$line" "$name"; done <"$own/swapping"
  rm -f "$own/swapping"
  for name in "${mounted[@]}"; do
    case " ${saved[*]} " in
      *" $name "*) files+=("$service.$name$suffix") ;;
      *) docker volume rm "$service.$name$suffix" >/dev/null || true ;;
    esac
  done
  tell "the data until now is in ${files[*]} on $(hostname)"
  if $stays_halted; then
    tell "$service was stopped before, and stays so; \`./slip start $service\` starts it"
    return
  fi
  "$switch" --resume "$service"
  container=$(base)
  wait_until_fine "$container" || fail 9 "$service has the restored data, and is not healthy within $health_timeout s" \
    "\`./slip logs $service\` shows why"
  tell "$service runs with the data of $taken UTC"
}

drill() {
  local started=$SECONDS log
  log=$(repo check -q 2>&1) || fail 9 "restic finds the backups of $service damaged: $(reason <<<"$log")"
  try "$1"
  give_back
  trap - EXIT
  tell "the backup of $taken UTC was restored and served in $((SECONDS - started)) s; nothing of it is left"
}

main() {
  local suffix='' taken='' own repository target port stack kind saved mounted dump_words restore_words
  local check_words stops keep well domain health_timeout stop_grace layout service
  load "$2"
  # Members have an order of their own in each stack's settings.
  layout="service=$service,$kind=$(IFS=+ && echo "${saved[*]}")"
  case "$1" in
    run) run ;;
    make) make ;;
    now) now_by_systemd "${3:-}" ;;
    list)
      reach
      repo snapshots --json
      ;;
    inside) inside "${@:3}" ;;
    restore | drill)
      take_turn
      reach
      clear_tries
      fit "$3"
      if [ "$1" = drill ]; then drill "$3"; else put_in_place "$3"; fi
      ;;
  esac
}

main "$@"
