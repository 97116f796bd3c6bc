#!/usr/bin/env bash
# Backups of a service's data or of the registry's images, by restic, and restoring them. backup-setup.sh installs it on the
# hosts of services that have backups, with its settings for each service and a timer that runs it. SERVICE can be `registry`.
#
#   backup run SERVICE              makes a backup, and notes how that ended: for slipway-backup-SERVICE.service
#   backup make SERVICE             makes one, and notes nothing
#   backup now SERVICE [new]        has systemd make one now, and prints what became of it. With `new`, in a repository that
#                                   is made if the former one is gone
#   backup list SERVICE             prints all backups, as restic's JSON in one line
#   backup restore SERVICE ID       puts a backup in place of the service's data, which stays in volumes of other names
#   backup drill SERVICE ID         restores it into volumes and a container that go afterwards, beside those that serve
#   backup emit SERVICE ID          prints what is in a backup, for `take` on a host of another stack: a tape of its
#                                   directories, or the output of its command
#   backup take SERVICE LAYOUT TAKEN BYTES
#                                   as `restore`, with what `emit` of another stack has printed, by gzip, on standard input
#   backup inside SERVICE SUFFIX WORD…
#                                   for itself: runs restic, or unpacks a tape, in a directory with the volumes, in a mount
#                                   namespace of its own
#
# A restore first puts the data into fresh volumes and starts a twin (once.sh) of the service's container on them. Only if
# all this has succeeded, the service stops. Images are restored beside the registry's, and those that it lacks are added: it
# never stops.
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
# What the end of the script takes back: containers that it has stopped, fresh volumes, a container that runs on them, and a
# folder with restored images.
paused=() fresh=() twin='' beside=''
# restic writes times as this says.
export TZ=UTC

tell() { printf 'slipway: %s\n' "$*" || true; }

# load SERVICE: reads its settings: repository; keeper, the name of another host that has it, target, how that is logged in
# to, and port; stack, kind (command, volumes or registry), keep; of the registry data, its folder; of a service saved and
# mounted (names of volumes), dump_words, restore_words, check_words, stops, well (how it is known to be healthy), domain,
# health_timeout, stop_grace, own_limit.
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

# repo WORD…: runs restic, by the password in the file `opened_by`. Passwords and keys are in files and variables, which only root
# can read.
repo() {
  local options=()
  case "$repository" in
    sftp:*)
      options=(-o "sftp.command=ssh -i $own/id -p $port -o UserKnownHostsFile=$own/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -F none -s $target sftp")
      ;;
  esac
  if [ -e "$own/keys" ]; then
    # shellcheck source=/dev/null
    (set -a && . "$own/keys" && exec restic -r "$repository" --password-file "$own/${opened_by:-password}" --cache-dir /var/cache/slipway/backup "$@")
  else
    restic -r "$repository" --password-file "$own/${opened_by:-password}" --cache-dir /var/cache/slipway/backup "${options[@]}" "$@"
  fi
}

# reason: what went wrong, of what restic says on standard input: the words of SSH or of an object store rather than what
# follows from them.
reason() {
  local said line
  said=$(cat)
  line=$(grep -m 1 '^subprocess ssh: ' <<<"$said") || line=$(grep -m 1 '^Fatal: ' <<<"$said") || line=$(grep -v '^$' <<<"$said" | tail -n 1) || true
  echo "${line#subprocess }"
}

# answers URL: restic would wait for an object store that is silent without an end.
answers() {
  local said server
  server=$(cut -d / -f 1-3 <<<"$1")
  said=$(curl -gsS -o /dev/null --max-time 30 "$server/" 2>&1) ||
    fail 7 "the place for the backups of $service does not answer: ${said#curl: }"
}

# take_over: an older version has begun the repository with a password of the whole stack. It gets the one of this service.
take_over() {
  [ -e "$own/former-password" ] || return
  opened_by=former-password repo cat config >/dev/null 2>&1 || return
  rm -f "$own/moved"
  opened_by=former-password repo key add --new-password-file "$own/password" >/dev/null
}

# drop_former: from now on nobody can open the repository with the password of the whole stack.
drop_former() {
  local said id
  [ -e "$own/former-password" ] && [ ! -e "$own/moved" ] || return 0
  if said=$(opened_by=former-password repo key list --json 2>&1); then
    id=$(tr '{' '\n' <<<"$said" | sed -n '/"current":true/s/.*"id":"\([0-9a-f]*\)".*/\1/p')
    # If it fails, the next time does it.
    repo key remove "$id" >/dev/null || return 0
  elif ! grep -q 'wrong password' <<<"$said"; then
    return 0
  fi
  touch "$own/moved"
}

# was_found: whether the repository of these settings was there before. A host that was made anew may have another address,
# and an older version has noted no name.
was_found() { [ -e "$own/found" ] && { [ ! -s "$own/found" ] || [ "$(cat "$own/found")" = "$keeper $repository" ]; }; }

# reach: finds the repository, or makes the first one. A directory that is not mounted, or a disk that was replaced, is none.
reach() {
  local said
  case "$repository" in
    /*) [ -d "${repository%/*/*}" ] || fail 7 "there is no directory ${repository%/*/*} on $(hostname)" \
      "to mend it: mount it, or make it" ;;
    s3:*) answers "${repository#s3:}" ;;
  esac
  if said=$(repo cat config 2>&1 >/dev/null) || take_over; then
    echo "$keeper $repository" >"$own/found"
    drop_former
    return
  fi
  case "$said" in
    *'wrong password'*) fail 7 "the backups of $service cannot be read: they have another password" \
      "to mend it: set the secret of its backups to the one that it had when they were begun" ;;
    # restic would make one: perhaps of a name that is misspelt.
    *'bucket does not exist'*) fail 7 "there is no bucket of this name: ${repository#s3:}" \
      "to mend it: make it, or correct the setting" ;;
  esac
  if was_found; then
    fail 7 "the backups of $service cannot be read: $(reason <<<"$said")" \
      "if they are lost, \`./slip backup $service --new\` begins anew"
  fi
  said=$(repo init 2>&1) || fail 7 "the place for the backups of $service cannot be used: $(reason <<<"$said")"
  echo "$keeper $repository" >"$own/found"
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

# parts SUFFIX: what a backup consists of, a line each: its name there, and its directory.
parts() {
  local name
  if [ "$kind" = registry ]; then
    echo "blobs $data/docker/registry/v2/blobs"
    echo "repositories $own/links/repositories"
    return
  fi
  for name in "${saved[@]}"; do echo "$name $(volume_of "$name" "$1")"; done
}

# within SUFFIX WORD…: runs restic, or `unpack`, in a directory that has each of the parts. SUFFIX is the end of the volumes'
# names.
within() { unshare --mount "$0" inside "$service" "$@"; }

# inside SUFFIX WORD…
inside() {
  local suffix=$1 name path stage=/run/slipway-backup/$service
  shift
  while read -r name path; do
    mkdir -p "$stage/$name"
    mount --bind "$path" "$stage/$name"
  done < <(parts "$suffix")
  cd "$stage"
  if [ "$1" = unpack ]; then unpack .; else repo "$@"; fi
}

# given: what came on standard input. Its end is missing if the other host has not printed all.
given() { gzip -dc <&7; }

unpack() { given | tar --numeric-owner -xpf - -C "$1"; }

# content ID: what the backup of a command has; `-` is the one on standard input.
content() { if [ "$1" = - ]; then given; else repo dump "$1" "/$service"; fi; }

emit() {
  if [ "$kind" = command ]; then content "$1"; else repo dump "$1" /; fi
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

# removal_began: when the registry last began to remove images.
removal_began() { systemctl show -P ExecMainStartTimestampMonotonic slipway-retention.service 2>/dev/null || true; }

# copy_links: copies what the registry's names lead to. A push writes this last. So all that a copy names is in the blobs that
# are read afterwards.
copy_links() {
  local root=$data/docker/registry/v2
  rm -rf "$own/links"
  mkdir -p "$own/links"
  # Status 1 says that files have changed or gone meanwhile.
  tar -C "$root" --exclude=_uploads -cf - repositories 2>/dev/null | tar -C "$own/links" -xpf - || [ "${PIPESTATUS[0]}" = 1 ]
}

save_images() {
  local began waited=0
  [ -d "$data/docker/registry/v2/repositories" ] || fail 8 "the registry has no image"
  while [ "$(systemctl is-active slipway-retention.service)" = activating ]; do
    [ "$waited" -lt 3600 ] || fail 8 "old images are being removed from the registry for more than an hour"
    waited=$((waited + 5))
    sleep 5
  done
  began=$(removal_began)
  copy_links
  within '' backup --json --host "$stack" --tag unfinished . >"$1"
  rm -rf "$own/links"
  [ "$(removal_began)" = "$began" ] || fail 8 "old images were removed from the registry amid its backup, which is of no use then"
}

save() {
  local said=$own/said id size container
  if [ "$kind" = command ]; then
    container=$(serves "$service")
    docker exec "$container" "${dump_words[@]}" </dev/null |
      repo backup --json --host "$stack" --tag unfinished --stdin --stdin-filename "$service" >"$said"
  elif [ "$kind" = registry ]; then
    save_images "$said"
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
  # For a person who asks for a backup; none after a success.
  sed -n 's/^slipway: \(to mend it.*\|if .*\)/\1/p' "$log" >"$own/remedy"
  rm -f "$log"
  put "$last" 0644 < <(printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$status" "$started" "$EPOCHSECONDS" "$good" "$misses" "${bytes:-0}" "$why")
  [ "$status" = 0 ] || fail 1 "the backup of $service failed: ${why:-exit status $status}"
}

now_by_systemd() {
  local status why bytes said remedies before='' last=$configured/.$service.last
  [ "${1:-}" != new ] || rm -f "$own/found"
  [ ! -e "$last" ] || before=$(stat -c %i.%Y "$last")
  said=$(systemctl start "slipway-backup-$service.service" 2>&1) || true
  [ -e "$last" ] && [ "$(stat -c %i.%Y "$last")" != "$before" ] ||
    fail 1 "systemd has not made the backup of $service: ${said:-it has not run}"
  IFS=$'\t' read -r status _ _ _ _ bytes why <"$last" || true
  if [ "$status" != 0 ]; then
    mapfile -t remedies < <(cat "$own/remedy" 2>/dev/null)
    fail 1 "the backup of $service failed: $why" "${remedies[@]}"
  fi
  tell "$service is backed up, $(numfmt --to=iec "$bytes")B.${why:+ $why}"
}

# fit ID: whether a backup is one of this service as it is now. Sets `taken` to when it was made, and `bytes`.
fit() {
  local said tags
  said=$(repo snapshots --json "$1") || fail 7 "there is no backup $1 of $service"
  # shellcheck disable=SC2001 # several groups
  tags=$(sed -n 's/.*"tags":\[\([^]]*\)\].*/\1/p' <<<"$said" | tr -d '"')
  bytes=$(tr ',' '\n' <<<"$tags" | sed -n 's/^bytes=//p')
  taken=$(sed -n 's/.*"time":"\([0-9-]*\)T\([0-9:]*\).*/\1 \2/p' <<<"$said")
  require_fit "$1" "$tags"
}

# require_fit ID TAGS
require_fit() {
  case ",$2," in
    *",unfinished,"*) fail 7 "the backup $1 is not whole: it was interrupted" ;;
    *",$layout,"*) ;;
    *)
      fail 7 "the backup $1 is of ${2%,bytes=*}, and $service has ${layout} now: nothing was changed" \
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
  local deadline=$((SECONDS + health_timeout)) container test=()
  if [ "$well" = command ]; then
    # A twin has no check of its own.
    container=$(base)
    find_test || return
  fi
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
    local words=(restore -q "$id" --target .)
    [ "$id" != - ] || words=(unpack)
    log=$(within "$suffix" "${words[@]}" 2>&1) || fail_try "it could not be restored: $(reason <<<"$log")"
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
    log=$(content "$id" | docker exec -i "$twin" "${restore_words[@]}" 2>&1 >/dev/null) ||
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

# bring ID: restores images beside those of the registry, and looks whether each manifest is there that a name leads to.
bring() {
  local log free missing
  beside=$data/.slipway-restore
  rm -rf "$beside"
  free=$(df --output=avail -B1 "$data" | tail -n 1)
  [ "$free" -gt "${bytes:-0}" ] || fail 9 "the backup takes $(numfmt --to=iec "$bytes")B on the registry's disk, which has $(numfmt --to=iec "$free")B left" \
    "nothing was changed"
  trap 'rm -rf "$beside"' EXIT
  mkdir -m 0700 "$beside"
  tell "restoring the images beside those of the registry"
  if [ "$1" = - ]; then log=$(unpack "$beside" 2>&1); else log=$(repo restore -q "$1" --target "$beside" 2>&1); fi ||
    fail 9 "they could not be restored: $(reason <<<"$log")" "nothing was changed"
  mkdir -p "$beside/blobs" "$beside/repositories"
  missing=$(comm -23 \
    <(find "$beside/repositories" -type f -path '*/_manifests/*' -name link -print0 | xargs -0r grep -aho '[a-z0-9]*:[0-9a-f]*' | sort -u) \
    <(find "$beside/blobs" -type f -name data | awk -F / '{ print $(NF - 3) ":" $(NF - 1) }' | sort -u))
  [ -z "$missing" ] || fail 9 "the backup has names of images without the images, such as ${missing%%$'\n'*}" \
    "nothing was changed; choose another backup"
}

# kept FOLDER: the blobs with their sizes, and the names: what there is already of them stays, but for damaged blobs.
kept() {
  find "$1/blobs" -type f -printf '%s blobs/%P\n' 2>/dev/null || true
  find "$1/repositories" -name _uploads -prune -o -type f -printf '. repositories/%P\n' 2>/dev/null || true
}

# merge: gives the registry what it lacks. Nobody asks for a blob before the name that leads to it.
merge() {
  local root=$data/docker/registry/v2 blobs names
  # Neither its settings nor the removal of images change anything meanwhile.
  exec 9>/run/slipway-registry.lock
  flock 9
  comm -12 <(kept "$root" | sort) <(kept "$beside" | sort) | cut -d ' ' -f 2- | (cd "$beside" && xargs -rd '\n' rm -f)
  blobs=$(find "$beside/blobs" -type f | wc -l)
  names=$(find "$beside/repositories" -type f -path '*/_manifests/tags/*/current/link' | wc -l)
  mkdir -p "$root"
  cp -alf "$beside/blobs" "$beside/repositories" "$root/"
  flock -u 9
  rm -rf "$beside"
  # What was made for them is root's.
  /usr/local/lib/slipway/own-registry-data
  tell "the registry has the images of $taken UTC: $names tags and $blobs blobs were missing, and are back; all others are as they were"
}

# place ID: puts a backup in its place; `-` is the one on standard input.
place() {
  if [ "$kind" = registry ]; then
    bring "$1"
    merge
  else
    put_in_place "$1"
  fi
}

drill() {
  local started=$SECONDS log
  log=$(repo check -q 2>&1) || fail 9 "restic finds the backups of $service damaged: $(reason <<<"$log")"
  if [ "$kind" = registry ]; then
    bring "$1"
    tell "the images of $taken UTC were restored in $((SECONDS - started)) s; nothing of them is left"
    return
  fi
  try "$1"
  give_back
  trap - EXIT
  tell "the backup of $taken UTC was restored and served in $((SECONDS - started)) s; nothing of it is left"
}

main() {
  local suffix='' taken='' bytes='' keeper='' data own repository target port stack kind saved mounted dump_words restore_words
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
    emit)
      reach
      emit "$3"
      ;;
    take)
      exec 7<&0 </dev/null
      take_turn
      clear_tries
      taken=$4 bytes=$5
      require_fit "of the other stack" "$3"
      place -
      ;;
    restore | drill)
      take_turn
      reach
      clear_tries
      fit "$3"
      if [ "$1" = drill ]; then drill "$3"; else place "$3"; fi
      ;;
  esac
}

main "$@"
