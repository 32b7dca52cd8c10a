#!/bin/sh
# PID 1 of the guest: makes what a Debian machine with systemd has, as far as containers care, runs the command, hands
# back what it printed and how it ended, and turns the machine off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LANG=C.UTF-8 HOME=/root
cd /run/vm || exec busybox poweroff -f
project=$(cat project)

mkdir -p /dev/pts /dev/shm /dev/mqueue /run/lock
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
# systemd makes every mount shared, and container engines meet that.
mount --make-rshared /
hostname caisson-vm
ip link set lo up
modprobe -a $(cat modules)
swap=$(cat swap)
[ -n "$swap" ] && busybox mkswap "$swap" >/dev/null && swapon "$swap"
install -d -o tester -g tester -m 700 /home/tester /run/user /run/user/1000
chmod 755 /run/user

# The tree that systemd makes: services of root, and a delegated part of each user's.
cgroups=/sys/fs/cgroup
hand_down() { for each in $(cat "$1/cgroup.controllers"); do echo "+$each" >"$1/cgroup.subtree_control"; done; }
mkdir -p $cgroups/init.scope $cgroups/system.slice/caisson-vm.service
echo $$ >$cgroups/init.scope/cgroup.procs
user=$cgroups/user.slice/user-1000.slice/user@1000.service
mkdir -p "$user/app.slice/caisson-vm.scope"
for at in $cgroups $cgroups/user.slice $cgroups/user.slice/user-1000.slice "$user"; do hand_down "$at"; done
for at in "$user" "$user/app.slice" "$user/app.slice/caisson-vm.scope"; do
  chown tester:tester "$at" "$at/cgroup.procs" "$at/cgroup.threads" "$at/cgroup.subtree_control"
done

port() {
  for at in /sys/class/virtio-ports/*; do
    [ "$(cat "$at/name")" = "$1" ] && echo "/dev/${at##*/}" && return
  done
}
mkfifo -m 600 stdout stderr
cat stdout >"$(port stdout)" &
printing=$!
cat stderr >"$(port stderr)" &
printing="$printing $!"

# Shortly before our time is up: what hangs, for the log.
{
  sleep "$(cat limit)"
  echo "start: out of time; processes and where they wait:"
  ps -eLo pid,tid,ppid,stat,wchan:24,args | grep -v '\]$' | cut -c -140
  find $cgroups -path '*/caisson-*' -name cgroup.procs | while read -r each; do
    echo "$each:" $(cat "$each") $(cat "${each%procs}events")
  done
} </dev/null >/dev/console 2>&1 &

mkdir -m 1777 out
export CAISSON_VM_OUT=/run/vm/out PATH=$project/node_modules/.bin:$PATH
if [ "$(cat user)" = tester ]; then
  home=$user/app.slice/caisson-vm.scope
  # Where jest writes what it has transformed.
  [ -d "$project/.cache" ] && chown -R tester:tester "$project/.cache"
  become='setpriv --reuid=1000 --regid=1000 --init-groups'
  export HOME=/home/tester USER=tester XDG_RUNTIME_DIR=/run/user/1000
else
  home=$cgroups/system.slice/caisson-vm.service
  become=
fi
(
  echo 0 >"$home/cgroup.procs"
  cd "$project" || exit
  exec $become /bin/sh /run/vm/command
) </dev/null >stdout 2>stderr &
wait $!
status=$?
# Whatever it left behind must not hold the pipes open.
echo 1 >$cgroups/system.slice/cgroup.kill
echo 1 >$cgroups/user.slice/cgroup.kill
wait $printing
tar -C out -cf "$(port files)" .
echo $status >"$(port status)"
exec busybox poweroff -f
