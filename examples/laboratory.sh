#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A network of five computers on one, as an ordinary user: two hosts, and three routers between them.
#
#   host1 --- router1 --- router2 --- router3 --- host2       router2's links have 10 ms each
#                 \________________________/                   the direct link has 50 ms, and is second choice
#
# Each is a process with a kernel of its own; a link is a socket that both ends name. router2 is killed at last: the others
# see their links go down, and take the other way.
. "$(dirname "$0")/common.sh"
needs python3 python3
needs ip iproute2
needs tc iproute2

cat >server.py <<'PYTHON'
import socket

s = socket.create_server(("", 80))
while True:
    c, peer = s.accept()
    c.sendall(peer[0].encode())
    c.close()
PYTHON
# How long a connection takes, as soon as there is one. With a number, as soon as one takes at least so many ms.
cat >client.py <<'PYTHON'
import socket, sys, time

least = int(sys.argv[2]) if len(sys.argv) > 2 else 0
for _ in range(200):
    begun = time.monotonic()
    try:
        c = socket.create_connection((sys.argv[1], 80), 1)
    except OSError:
        time.sleep(0.05)
        continue
    took = (time.monotonic() - begun) * 1000
    if took >= least:
        print(f"{c.recv(100).decode()} is heard; a connection takes {took:.0f} ms")
        break
    time.sleep(0.05)
else:
    sys.exit("no connection")
PYTHON

nodes=()
# Starts a computer: its interfaces, then what it does.
node() {
    local options=(--sysctl net.ipv4.ip_forward=1 --sysctl net.ipv4.conf.all.ignore_routes_with_linkdown=1)
    while [ "$1" != -- ]; do
        options+=(--net "$1")
        shift
    done
    stowaway run "${options[@]}" "$@" 2>>messages &
    nodes+=($!)
}
delay() { echo "tc qdisc add dev $1 root netem delay $2ms limit 10000"; }
end() {
    { kill -9 "${nodes[@]}" && wait; } 2>/dev/null || true
}

laboratory() {
    node pair:a,ip=10.0.1.1/24 pair:b,ip=10.0.12.1/24 pair:e,ip=10.0.13.1/24 -- sh -ec "$(delay eth2 50)
        ip route add 10.0.2.0/24 via 10.0.12.2 metric 10
        ip route add 10.0.2.0/24 via 10.0.13.3 metric 20
        exec sleep 300"
    node pair:b,ip=10.0.12.2/24 pair:c,ip=10.0.23.2/24 -- sh -ec "$(delay eth0 10); $(delay eth1 10)
        ip route add 10.0.1.0/24 via 10.0.12.1
        ip route add 10.0.2.0/24 via 10.0.23.3
        exec sleep 300"
    node pair:c,ip=10.0.23.3/24 pair:d,ip=10.0.2.3/24 pair:e,ip=10.0.13.3/24 -- sh -ec "$(delay eth2 50)
        ip route add 10.0.1.0/24 via 10.0.23.2 metric 10
        ip route add 10.0.1.0/24 via 10.0.13.1 metric 20
        exec sleep 300"
    node pair:d,ip=10.0.2.10/24,gw=10.0.2.3 -- python3 server.py
}
client() { stowaway run --net pair:a,ip=10.0.1.10/24,gw=10.0.1.1 -- python3 client.py 10.0.2.10 "$@"; }
run 'declare -f node laboratory client'
laboratory

shown='the way by router2'
said=$(client)
echo "$said"
took=${said##*takes }
[[ $said == '10.0.1.10 is heard'* ]] && [ "${took% ms}" -ge 20 ] && [ "${took% ms}" -lt 95 ] || { end; exit 1; }

shown='the other way'
{ kill -9 "${nodes[1]}" && wait "${nodes[1]}"; } 2>/dev/null || true
said=$(client 95)
echo "without router2: $said"
end
[[ $said == '10.0.1.10 is heard'* ]]
