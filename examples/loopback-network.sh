#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A server and its client in one program, on a network that nobody else sees: no port of the host is taken.
. "$(dirname "$0")/common.sh"
needs python3 python3

cat >server.py <<'PYTHON'
import http.server, threading, urllib.request

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello over the program's own loopback\n")

    def log_message(self, *words):
        pass

# Port 8080 is free here, whatever the host runs.
server = http.server.HTTPServer(("127.0.0.1", 8080), Hello)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(urllib.request.urlopen("http://127.0.0.1:8080/").read().decode(), end="")
server.shutdown()
PYTHON
run 'cat server.py'
run 'stowaway run --net lo -- python3 server.py'
same "$(stowaway run --net lo -- python3 server.py)" "hello over the program's own loopback"
