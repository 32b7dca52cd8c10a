#!/bin/busybox sh
# The first program of the guest, in the initramfs: finds the disks and goes over to a root that can be pivoted.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
if grep -q caisson.probe /proc/cmdline; then
  echo caisson-vm-works
  poweroff -f
fi
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module" || echo "init: $module cannot be loaded"; done </modules/order

# The disk that has this serial number.
disk() {
  for at in /sys/block/vd*; do
    [ "$(cat "$at/serial" 2>/dev/null)" = "$1" ] && echo "/dev/${at##*/}" && return
  done
}
tries=0
until [ -n "$(disk root)" ] || [ $tries -ge 100 ]; do
  usleep 50000
  tries=$((tries + 1))
done

mount -t ext4 -o noatime,noinit_itable "$(disk root)" /root || poweroff -f
project=$(cat /vm/project)
mkdir -p "/root/lib/modules/$(uname -r)"
mount -t ext4 -o ro "$(disk modules)" "/root/lib/modules/$(uname -r)"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /root/run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /root/tmp
mkdir -p "/root$project" /root/run/vm
mount -t ext4 -o noatime "$(disk project)" "/root$project"
mount -t ext4 -o ro "$(disk packages)" "/root$project/node_modules"
cp -a /vm/. /root/run/vm
disk swap >/root/run/vm/swap
for at in dev proc sys; do mount -o move "/$at" "/root/$at"; done
exec switch_root /root /run/vm/start
