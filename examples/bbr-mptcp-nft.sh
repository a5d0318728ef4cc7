#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# BBR, MPTCP and rules of nftables for one program, whatever the host has.
. "$(dirname "$0")/common.sh"
needs python3 python3
needs nft nftables
bbr='import socket; print(socket.socket().getsockopt(6, 13, 3).decode())'
run "stowaway run --net lo --sysctl net.ipv4.tcp_congestion_control=bbr -- python3 -c '$bbr'"
same "$(stowaway run --net lo --sysctl net.ipv4.tcp_congestion_control=bbr -- python3 -c "$bbr")" bbr
protocol='import socket; print(socket.socket().getsockopt(1, 38))'
run "stowaway run --net lo --mptcp -- python3 -c '$protocol'"
same "$(stowaway run --net lo --mptcp -- python3 -c "$protocol")" 262

cat >rules.nft <<'RULES'
table ip nat {
    chain out {
        type nat hook output priority -100;
        ip daddr 127.0.0.1 tcp dport 8080 redirect to :80
    }
}
RULES
cat >both.py <<'PYTHON'
import socket

server = socket.create_server(("127.0.0.1", 80))
client = socket.create_connection(("127.0.0.1", 8080))
server.accept()[0].sendall(b"port 80 answers at 8080\n")
print(client.recv(99).decode(), end="")
PYTHON
run 'stowaway run --net lo --nft rules.nft -- python3 both.py'
same "$(stowaway run --net lo --nft rules.nft -- python3 both.py)" 'port 80 answers at 8080'
