#!/usr/bin/env bash
# Mounts the registry's volume: finds it by its id, formats it only if it is blank, grows it to the volume's size.
# Docker Engine does not start without the volume, so that the registry never writes to the root disk instead.
#
#   bash -s [undo]
#
# With `undo` it stops what uses the volume and unmounts it, so that another host, or another volume, can take its place.
#
# Values:
#   VOLUME      id of the volume: vol-…
#   SIZE        its size, GiB
#   DATA_PATH   where to mount it
#   DATA_USER   the number of the user that its files belong to
#
# registry-data.sh comes ahead of it.
set -euo pipefail

# Other accounts of the machine may read the units that this makes.
umask 022

: "${VOLUME:?}" "${SIZE:?}" "${DATA_PATH:?}" "${DATA_USER:?}"

patience=120

refuse() { fail 7 "$1" "the registry is not started without its volume; its images are safe there"; }

# The device of the volume. Names of NVMe devices may change, so it is found by its serial number, which is the volume's
# id. Xen has no serial numbers, but keeps the name that the volume was attached by.
device() {
  local serial=${VOLUME//-/} name found
  for name in "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$serial" "/dev/disk/by-id/virtio-$serial"; do
    if [ -b "$name" ]; then
      readlink -f "$name"
      return
    fi
  done
  found=$(lsblk -dnro NAME,SERIAL 2>/dev/null | awk -v serial="$serial" '$2 == serial { print $1; exit }')
  if [ -n "$found" ]; then
    echo "/dev/$found"
    return
  fi
  # With NVMe these are links that udev makes to the device; without, they are devices of Xen.
  for name in /dev/sdf /dev/xvdf; do
    if [ -b "$name" ]; then
      readlink -f "$name"
      return
    fi
  done
  return 1
}

wait_for_device() {
  local end=$((SECONDS + patience)) bytes
  until dev=$(device); do
    [ "$SECONDS" -lt "$end" ] || refuse "the volume $VOLUME is not attached to $(hostname)"
    sleep 0.5
  done
  # A volume that has just been grown reports its new size a moment later.
  until bytes=$(blockdev --getsize64 "$dev") && [ "$bytes" -ge $((SIZE * 1024 * 1024 * 1024)) ]; do
    [ "$SECONDS" -lt "$end" ] || refuse "the volume $VOLUME should have $SIZE GiB, and $dev has $bytes bytes"
    sleep 0.5
  done
}

mounted() { [ "$(findmnt -nro SOURCE --mountpoint "$DATA_PATH" 2>/dev/null | xargs -r readlink -f)" = "$dev" ]; }

# A unit and not a line in /etc/fstab, since in a container systemd ignores the devices of that file. Without the
# volume the machine boots, so that people can log in and look, but Docker Engine does not start.
mount_unit() {
  cat <<UNIT
[Unit]
Description=The registry's volume, $VOLUME
[Mount]
What=/dev/disk/by-uuid/$1
Where=$DATA_PATH
Type=xfs
Options=noatime
[Install]
WantedBy=multi-user.target
UNIT
}

install_units() {
  local name changed=false
  name=$(unit_name)
  put "/etc/systemd/system/$name" 0644 < <(mount_unit "$1")
  put /etc/systemd/system/docker.service.d/slipway-data.conf 0644 < <(printf '[Unit]\nRequiresMountsFor=%s\n' "$DATA_PATH")
  if $changed; then systemctl daemon-reload; fi
  systemctl enable -q "$name"
}

# users: the containers that have a folder of the volume.
users() { docker ps -aq --filter "volume=$DATA_PATH" 2>/dev/null || true; }

# Their restart policy goes first: nothing may start them on the empty folder.
stop_users() {
  local container
  for container in $(users); do
    docker update --restart=no "$container" >/dev/null
    docker stop -t 10 "$container" >/dev/null
  done
}

start_users() {
  local container
  for container in $(users); do
    [ "$(docker inspect --format '{{ .HostConfig.RestartPolicy.Name }}' "$container")" = no ] || continue
    docker update --restart=always "$container" >/dev/null
    docker start "$container" >/dev/null
  done
}

unit_name() { systemd-escape --path --suffix=mount "$DATA_PATH"; }

undo() {
  local name
  name=$(unit_name)
  stop_users
  # It removes images, on the volume itself.
  systemctl stop slipway-retention.service 2>/dev/null || true
  for _ in $(seq 20); do
    mountpoint -q "$DATA_PATH" || break
    umount "$DATA_PATH" 2>/dev/null || sleep 0.5
  done
  ! mountpoint -q "$DATA_PATH" ||
    fail 7 "the volume $VOLUME cannot be unmounted on $(hostname), since it is in use:" \
      "$(fuser -vm "$DATA_PATH" 2>&1 || true)"
  systemctl disable -q "$name" 2>/dev/null || true
  rm -f "/etc/systemd/system/$name" /etc/systemd/system/docker.service.d/slipway-data.conf
  systemctl daemon-reload
}

main() {
  local type uuid status=0
  lock data
  if [ "${1:-}" = undo ]; then
    undo
    return
  fi
  wait_for_device
  # blkid reads the disk itself. Exit status 2 means that the disk is blank: only then it is formatted.
  type=$(blkid -p -o value -s TYPE "$dev") || status=$?
  case "$status $type" in
    # XFS grows while it is mounted; ext4 would need more rights for that than a local host may have.
    "2 ") mkfs.xfs -q -L slipway-data "$dev" ;;
    "0 xfs") ;;
    *) refuse "the volume $VOLUME holds ${type:-something that is no file system}, and nothing of this stack's" ;;
  esac
  uuid=$(blkid -p -o value -s UUID "$dev")
  mkdir -p "$DATA_PATH"
  if ! mounted; then
    if mountpoint -q "$DATA_PATH"; then
      refuse "something else is mounted at $DATA_PATH"
    fi
    # The volume would hide these files.
    [ -z "$(ls -A "$DATA_PATH")" ] || refuse "$DATA_PATH on the root disk is not empty, and must be to mount the volume"
    install_units "$uuid"
    mount -o noatime "$dev" "$DATA_PATH"
    # A snapshot may be of an older version.
    is_owned "$DATA_PATH" "$DATA_USER" || own_data "$DATA_PATH" "$DATA_USER"
    start_users
  else
    install_units "$uuid"
  fi
  made+=("mount $DATA_PATH")
  xfs_growfs "$DATA_PATH" >/dev/null || refuse "the file system of the volume $VOLUME could not be grown"
  findmnt -nro SOURCE,FSTYPE --mountpoint "$DATA_PATH"
  tell_made
}

main "$@" </dev/null
