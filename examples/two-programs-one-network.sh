#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A server and its client are two programs of one shell: they share a network that nobody else sees.
. "$(dirname "$0")/common.sh"
needs python3 python3
mkdir site
echo 'hello from the other program' >site/index.html

cat >both.sh <<'SHELL'
python3 -m http.server --bind 127.0.0.1 --directory site 8080 >/dev/null 2>&1 &
python3 - <<'PYTHON'
import time, urllib.request
for _ in range(200):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8080/").read().decode(), end="")
        break
    except OSError:
        time.sleep(0.05)
PYTHON
kill $!
SHELL
run 'cat both.sh'
run 'stowaway run --net lo -- bash both.sh'
same "$(stowaway run --net lo -- bash both.sh)" 'hello from the other program'
