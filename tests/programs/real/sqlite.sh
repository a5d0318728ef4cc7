# SPDX-License-Identifier: GPL-2.0-only
# A database, in $W: of one program at a time, as a writable image is.
mkdir -p "$W" || exit 1
db="$W/data.db"
sqlite3 "$db" <<'END'
PRAGMA journal_mode=DELETE;
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i, 'row ' || i FROM n;
CREATE INDEX ib ON t(b);
DELETE FROM t WHERE a % 3 = 0;
SELECT count(*), sum(a) FROM t;
VACUUM;
PRAGMA integrity_check;
END
dump=$(sqlite3 "$db" 'SELECT b FROM t WHERE a = 4711' '.dump'); echo "$dump" | md5sum
sqlite3 "$db" "UPDATE t SET b = 'x' WHERE a < 100; SELECT changes();"
exit 0
