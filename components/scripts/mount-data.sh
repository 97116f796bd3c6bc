#!/usr/bin/env bash
# Mounts the registry's volume: found by its id, formatted only when blank, grown to the volume's size.
# Docker Engine does not start without it, so that the registry never writes to the root disk instead.
#
# The values come ahead of this text, on standard input (components/script.py):
#   VOLUME      id of the volume: vol-…
#   SIZE        its size, GiB
#   DATA_PATH   where to mount it
set -euo pipefail
umask 022

: "${VOLUME:?}" "${SIZE:?}" "${DATA_PATH:?}"

patience=120

fail() {
  echo "slipway: $1" >&2
  echo "slipway: the registry is not started without its volume; its images are safe there" >&2
  exit 7
}

# The device of the volume: names of NVMe devices move, so it is found by the serial number, which is the volume's id.
# Xen has no serial numbers, but keeps the name that the volume was attached by.
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
  # With NVMe these are links of udev's to the right device; without, they are devices of Xen's.
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
    [ "$SECONDS" -lt "$end" ] || fail "the volume $VOLUME is not attached to $(hostname)"
    sleep 0.5
  done
  # A volume that has just been grown shows it a moment later.
  until bytes=$(blockdev --getsize64 "$dev") && [ "$bytes" -ge $((SIZE * 1024 * 1024 * 1024)) ]; do
    [ "$SECONDS" -lt "$end" ] || fail "the volume $VOLUME should have $SIZE GiB, and $dev has $bytes bytes"
    sleep 0.5
  done
}

mounted() { [ "$(findmnt -nro SOURCE --mountpoint "$DATA_PATH" 2>/dev/null | xargs -r readlink -f)" = "$dev" ]; }

# A unit rather than a line in /etc/fstab, since systemd heeds the devices of that file on full machines only. It does
# not keep the machine from booting, so that somebody can log in and look; but Docker Engine waits for it, in vain
# where the volume is not there.
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
  local name
  name=$(systemd-escape --path --suffix=mount "$DATA_PATH")
  mount_unit "$1" >"/etc/systemd/system/$name"
  mkdir -p /etc/systemd/system/docker.service.d
  printf '[Unit]\nRequiresMountsFor=%s\n' "$DATA_PATH" >/etc/systemd/system/docker.service.d/slipway-data.conf
  systemctl daemon-reload
  systemctl enable -q "$name"
}

main() {
  local type uuid status=0
  # A run whose operator was killed goes on: two must not get into each other's way.
  exec 9>/run/slipway-data.lock
  flock 9
  wait_for_device
  # Asked of the disk itself. Exit status 2 means that there is nothing on it: only then is it formatted.
  type=$(blkid -p -o value -s TYPE "$dev") || status=$?
  case "$status $type" in
    # XFS grows while it is mounted, also where ext4 would ask for more rights than a host may have.
    "2 ") mkfs.xfs -q -L slipway-data "$dev" ;;
    "0 xfs") ;;
    *) fail "the volume $VOLUME holds ${type:-something that is no file system}, and nothing of this stack's" ;;
  esac
  uuid=$(blkid -p -o value -s UUID "$dev")
  mkdir -p "$DATA_PATH"
  if ! mounted; then
    if mountpoint -q "$DATA_PATH"; then
      fail "something else is mounted at $DATA_PATH"
    fi
    # It would be hidden by the volume, and be missed.
    [ -z "$(ls -A "$DATA_PATH")" ] || fail "$DATA_PATH on the root disk is not empty, and must be to mount the volume"
    install_units "$uuid"
    mount -o noatime "$dev" "$DATA_PATH"
  fi
  xfs_growfs "$DATA_PATH" >/dev/null || fail "the file system of the volume $VOLUME could not be grown"
  findmnt -nro SOURCE,FSTYPE --mountpoint "$DATA_PATH"
}

# Read whole before anything runs: whatever reads standard input would otherwise eat the rest of the script.
main </dev/null
