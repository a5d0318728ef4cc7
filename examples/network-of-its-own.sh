#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A program with an IP stack of its own, which any user may give it: its addresses, its BBR, and a delay that nobody else has.
. "$(dirname "$0")/common.sh"
needs passt passt
needs ip iproute2
needs curl curl
needs python3 python3
mkdir site
echo 'hello from the host' >site/index.html
timeout 120 python3 -u -m http.server --bind 127.0.0.1 --directory site 0 >server.log 2>&1 &
server=$!
until port=$(grep -o 'port [0-9]*' server.log | cut -d' ' -f2) && [ -n "$port" ]; do sleep 0.05; done

run 'stowaway run --net user -- ip -brief address show eth0'
run "stowaway run --net user -- curl -s http://10.0.2.2:$port/"
same "$(stowaway run --net user -- curl -s "http://10.0.2.2:$port/")" 'hello from the host'
bbr='import socket; print(socket.socket().getsockopt(6, 13, 3).decode())'
run "stowaway run --net user --sysctl net.ipv4.tcp_congestion_control=bbr -- python3 -c '$bbr'"
slow="tc qdisc add dev eth0 root netem delay 300ms; curl -s -o /dev/null -w '%{time_connect}' http://10.0.2.2:$port/"
time=$(stowaway run --net user -- sh -c "$slow")
echo "a connection with a delay of 300 ms: $time s"
case $time in 0.[012]*) echo "the delay is not there" && exit 1 ;; esac
kill $server
