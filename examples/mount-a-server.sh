#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A directory that a server has (here a 9P server on this machine), mounted by one program without root.
. "$(dirname "$0")/common.sh"
needs passt passt
needs diod diod
mkdir export
echo 'hello from the server' >export/hello
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
timeout 120 diod -f -n -c /dev/null -e "$PWD/export" -l "127.0.0.1:$port" -L "$PWD/log" &
server=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done

run "stowaway run --mount 9p://localhost:$port$PWD/export:/mnt/srv -- cat /mnt/srv/hello"
run "stowaway run --mount 9p://localhost:$port$PWD/export:/mnt/srv -- sh -c 'mkdir /mnt/srv/new && cp /mnt/srv/hello /mnt/srv/new'"
same "$(cat export/new/hello)" 'hello from the server'
kill $server
