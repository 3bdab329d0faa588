#!/bin/busybox sh
# First process of a lab guest: drivers, address, then the one program that it lives for.
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
while read -r module; do busybox insmod "/modules/$module"; done </modules/order
for word in $(busybox cat /proc/cmdline); do
  case $word in
    lifeboat.ip=*) address=${word#*=} ;;
    lifeboat.probe) echo "the guest is up" && busybox poweroff -f ;;
  esac
done
busybox ifconfig lo 127.0.0.1 up
if [ -n "$address" ]; then
  busybox ifconfig eth0 "$address" netmask 255.255.0.0 up
  # Bridges learn where the guest is now.
  busybox arping -q -A -c 1 -I eth0 "$address" &
fi
/bin/guest
busybox poweroff -f
