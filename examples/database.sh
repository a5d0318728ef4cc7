#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Keep a database on an image. SQLite's rollback journal and its WAL mode work, with several processes, too.
. "$(dirname "$0")/common.sh"
needs sqlite3 sqlite3

run 'stowaway mkimage --size 64M disk.img'
run 'export STOWAWAY_MOUNT=disk.img:/mnt/db'
run "stowaway run sqlite3 /mnt/db/shop.db 'create table items (name text, price int)'"
cat >fill.sql <<'SQL'
begin;
insert into items values ('pen', 2), ('book', 15), ('lamp', 40);
commit;
begin;
delete from items;
rollback;
SQL
run 'stowaway run sqlite3 /mnt/db/shop.db <fill.sql'
run "stowaway run sqlite3 /mnt/db/shop.db 'select name, price from items order by price'"
same "$(stowaway run sqlite3 /mnt/db/shop.db 'select sum(price) from items')" 57
same "$(stowaway run sqlite3 /mnt/db/shop.db 'pragma integrity_check')" ok

# Killed in the middle of a transaction: the journals of SQLite and of ext4 bring the last commit back.
mkfifo feed
# SQLite reads until it is killed: the pipe stays open.
stowaway run sqlite3 /mnt/db/shop.db <feed >answers &
exec 7>feed
echo "begin; delete from items; select 'deleted ' || count(*) from items;" >&7
until grep -qs 'deleted 0' answers; do sleep 0.05; done
run 'kill -KILL $!'
wait $! 2>/dev/null || true
exec 7>&-
same "$(stowaway run sqlite3 /mnt/db/shop.db 'select sum(price) from items')" 57
run "stowaway run sqlite3 /mnt/db/shop.db 'select count(*) from items'"
unset STOWAWAY_MOUNT
run 'e2fsck -fn disk.img'
