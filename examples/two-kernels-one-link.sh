#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Two programs with a kernel each, and a link between them: a Unix socket in QEMU's protocol, which a virtual machine speaks as well.
. "$(dirname "$0")/common.sh"
needs python3 python3

cat >server.py <<'PYTHON'
import socket

s = socket.create_server(("10.1.0.1", 80))
c, peer = s.accept()
c.sendall(b"hello, " + peer[0].encode() + b"\n")
c.close()
PYTHON
cat >client.py <<'PYTHON'
import socket, time

for _ in range(200):
    try:
        print(socket.create_connection(("10.1.0.1", 80), 5).recv(100).decode(), end="")
        break
    except OSError:
        time.sleep(0.05)
PYTHON
both() {
    stowaway run --net stream:link.socket,listen,ip=10.1.0.1/24 -- python3 server.py &
    until [ -S link.socket ]; do sleep 0.05; done
    sleep 0.1
    # At the end, one of the two hears that the other has left.
    stowaway run --net stream:link.socket,ip=10.1.0.2/24 -- python3 client.py 2>/dev/null
    wait
}
run 'declare -f both'
same "$(both 2>/dev/null)" 'hello, 10.1.0.2'
