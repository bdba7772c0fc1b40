#!/bin/sh
# First process of the guest kernel. The root is the host's, read-only; what must be written is written under /run.
# Words on the kernel's command line, as name=value, are this script's environment: PYTHON, AGENT, MODULES, MODPROBE.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mkdir -p /run/mods/lib/modules /run/state /run/netns /run/tmp
mount -t tmpfs shm /dev/shm 2>/dev/null
ln -s "$MODULES" "/run/mods/lib/modules/$(uname -r)"
# The kernel asks for its modules (crypto templates, for one) by this program.
printf '#!/bin/sh\nexec %s -d /run/mods "$@"\n' "$MODPROBE" > /run/modprobe
chmod +x /run/modprobe
echo /run/modprobe > /proc/sys/kernel/modprobe
ip link set lo up
exec "$PYTHON" -ISu "$AGENT" /dev/ttyS0
