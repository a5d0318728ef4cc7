# SPDX-License-Identifier: GPL-2.0-only
# A database in the directory under test: a real program's locks, journals and fsyncs.
import sqlite3
import sys

path = sys.argv[1] + "/data.db"
for mode in ("delete", "truncate", "persist", "memory"):
    db = sqlite3.connect(path, isolation_level=None)
    assert db.execute("pragma journal_mode=" + mode).fetchone() == (mode,)
    db.execute("create table if not exists t (k integer primary key, v text)")
    db.execute("begin")
    db.executemany("insert into t (v) values (?)", (("row %d" % i,) for i in range(500)))
    db.execute("commit")
    db.execute("begin")
    db.execute("delete from t")
    db.execute("rollback")
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    db.execute("begin immediate")
    try:
        other.execute("begin immediate")
        print("two writers")
    except sqlite3.OperationalError as error:
        assert "locked" in str(error), error
    db.execute("commit")
    other.close()
    db.close()
db = sqlite3.connect(path)
assert db.execute("pragma integrity_check").fetchone() == ("ok",)
assert db.execute("select count(*) from t").fetchone() == (2000,)
print("ok")
