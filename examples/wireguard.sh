#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# curl through a WireGuard tunnel: one program, no root, nothing of the host's network changed. The other end is a web server with a
# kernel of its own, too; elsewhere it is your provider's or your office's.
. "$(dirname "$0")/common.sh"
needs wg wireguard-tools
needs curl curl
needs python3 python3
umask 077
for who in server client; do wg genkey >$who.key; done

cat >server.conf <<CONF
[Interface]
PrivateKey = $(cat server.key)
ListenPort = 51820
Address = 10.99.0.1/24
[Peer]
PublicKey = $(wg pubkey <client.key)
AllowedIPs = 10.99.0.2/32
CONF
cat >wg0.conf <<CONF
[Interface]
PrivateKey = $(cat client.key)
Address = 10.99.0.2/24
[Peer]
PublicKey = $(wg pubkey <server.key)
AllowedIPs = 0.0.0.0/0
Endpoint = 10.1.0.1:51820
CONF
mkdir site && echo 'hello through the tunnel' >site/index.html
# The link below the tunnel is a Unix socket here, and --net user elsewhere.
stowaway run --net stream:link.socket,listen,ip=10.1.0.1/24 --wg server.conf -- \
    timeout 60 python3 -m http.server --bind 10.99.0.1 --directory site 80 2>/dev/null &
server=$!
until [ -S link.socket ]; do sleep 0.05; done
sleep 0.1
fetch() {
    stowaway run --net stream:link.socket,ip=10.1.0.2/24 --wg wg0.conf -- \
        curl -s --retry 50 --retry-connrefused --retry-delay 1 http://10.99.0.1/ 2>/dev/null
}
run 'declare -f fetch'
same "$(fetch)" 'hello through the tunnel'
kill $server 2>/dev/null || true
wait 2>/dev/null || true
