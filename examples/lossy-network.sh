#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A test under 2 % loss: server and client on a loopback of their own that loses and delays packets. No root, no tc, nobody else notices.
. "$(dirname "$0")/common.sh"
needs python3 python3
cat >transfer.py <<'PYTHON'
import hashlib, os, socket, threading

data = os.urandom(1 << 20)
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
there, _ = server.accept()
threading.Thread(target=lambda: (client.sendall(data), client.close())).start()
digest = hashlib.sha256()
while part := there.recv(1 << 16):
    digest.update(part)
print("intact" if digest.digest() == hashlib.sha256(data).digest() else "damaged")
PYTHON
cat >count.py <<'PYTHON'
import socket

a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "ab")
a.bind(("127.0.0.1", 0))
a.settimeout(0.1)
came = 0
for _ in range(20):
    for _ in range(50):
        b.sendto(b"x", a.getsockname())
    try:
        for _ in range(50):
            a.recv(1)
            came += 1
    except TimeoutError:
        pass
print(1000 - came)
PYTHON
run "stowaway run --net lo --netem 'loss 2% delay 2ms' -- python3 transfer.py"
same "$(stowaway run --net lo --netem 'loss 2% delay 2ms' -- python3 transfer.py)" intact
lost=$(stowaway run --net lo --netem 'loss 2%' -- python3 count.py)
echo "of 1000 datagrams, $lost were lost"
[ "$lost" -gt 2 ] && [ "$lost" -lt 60 ]
same "$(stowaway run --net lo -- python3 count.py)" 0
