#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Read and write the disk of a virtual machine, a qcow2 image, while the machine is off.
. "$(dirname "$0")/common.sh"
needs qemu-img qemu-utils

mkdir src
echo 'hostname=old' >src/machine.conf
stowaway mkimage raw.img src
run 'qemu-img convert -f raw -O qcow2 -c raw.img vm.qcow2'
run 'ls -ls raw.img vm.qcow2'

run 'stowaway run --mount vm.qcow2:/mnt/vm -- sed -i s/old/new/ /mnt/vm/machine.conf'
run 'stowaway run --mount vm.qcow2:/mnt/vm:ro -- cat /mnt/vm/machine.conf'
same "$(stowaway run --mount vm.qcow2:/mnt/vm:ro -- cat /mnt/vm/machine.conf)" 'hostname=new'

# An overlay keeps the base image as it is.
run 'qemu-img create -q -f qcow2 -b vm.qcow2 -F qcow2 overlay.qcow2'
run 'stowaway run --mount overlay.qcow2:/mnt/vm -- touch /mnt/vm/only-in-the-overlay'
run 'stowaway run --mount overlay.qcow2:/mnt/vm:ro -- ls /mnt/vm'
run 'stowaway run --mount vm.qcow2:/mnt/vm:ro -- test ! -e /mnt/vm/only-in-the-overlay'

# QEMU finds both images whole.
run 'qemu-img check -q vm.qcow2'
run 'qemu-img check -q overlay.qcow2'
