# SPDX-License-Identifier: GPL-2.0-only
# A master with two workers, which serve files.
mkdir -p "$W/ng" && cd "$W/ng" || exit 1
cat > conf <<END
worker_processes 2; daemon off; pid $W/ng/pid; error_log $W/ng/error.log;
events { worker_connections 64; }
http {
  access_log $W/ng/access.log; client_body_temp_path $W/ng/b; proxy_temp_path $W/ng/p; fastcgi_temp_path $W/ng/f;
  uwsgi_temp_path $W/ng/u; scgi_temp_path $W/ng/s; sendfile on;
  server { listen unix:$W/ng/sock; location / { root $R; } }
}
END
[ "$(id -u)" = 0 ] && sed -i '1i user root;' conf
nginx -p "$W/ng" -c "$W/ng/conf" -e "$W/ng/error.log" > out 2>&1 &
master=$!
for _ in $(seq 100); do [ -S sock ] && break; sleep 0.05; done
cat > client.py <<'END'
import socket, sys
def get(path):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"GET " + path + b" HTTP/1.0\r\n\r\n")
    data = b""
    while part := s.recv(65536): data += part
    head, body = data.split(b"\r\n\r\n", 1)
    return head.split(b"\r\n")[0], body
first = get(b"/hello.txt")
print(first[0], first[1][:5], get(b"/none")[0])
print(all(get(b"/hello.txt") == first for _ in range(200)))
END
python3 client.py "$W/ng/sock"
kill -HUP $master; sleep 0.3; python3 client.py "$W/ng/sock"
kill -QUIT $master; wait $master
echo "master $?"
grep -c 'GET' access.log
exit 0
