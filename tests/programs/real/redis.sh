# SPDX-License-Identifier: GPL-2.0-only
# A server, its benchmark, and what it saves.
cd "$W" || exit 1
redis-server --port 0 --unixsocket "$W/redis.sock" --dir "$W" --save '' --daemonize no > server.log 2>&1 &
server=$!
cli() { redis-cli -s "$W/redis.sock" "$@"; }
for _ in $(seq 100); do [ "$(cli ping 2>/dev/null)" = PONG ] && break; sleep 0.05; done
cli set key "$(head -c 5 "$R/hello.txt")"; cli get key
cli eval 'return redis.call("incrby", KEYS[1], 41)' 1 n
redis-benchmark -s "$W/redis.sock" -n 2000 -c 20 -q -t set,get,lpush,mset 2>/dev/null | tr '\r' '\n' | grep 'requests per second' | sed 's/:.*//'
cli dbsize; cli save; ls dump.rdb
cli bgsave
for _ in $(seq 100); do cli info persistence | grep -q 'rdb_bgsave_in_progress:0' && break; sleep 0.05; done
cli info persistence | grep rdb_last_bgsave_status | tr -d '\r'
cli shutdown nosave
wait $server
echo "server $?"
exit 0
