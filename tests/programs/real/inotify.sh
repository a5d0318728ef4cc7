# SPDX-License-Identifier: GPL-2.0-only
# A thread that waits in select(2) for an inotify descriptor and for a pipe that ends it, as watchdog has it.
cat >$T/observer.py <<'end'
import ctypes, os, select, struct, sys, threading

libc = ctypes.CDLL(None, use_errno=True)
directory = sys.argv[1]
watcher = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
ender = os.pipe()
seen = threading.Semaphore(0)


def observe():
    moved = {}
    while True:
        ready = select.select([watcher, ender[0]], [], [])[0]
        if ender[0] in ready:
            break
        events = os.read(watcher, 65536)
        while events:
            _, mask, cookie, length = struct.unpack_from("iIII", events)
            name = events[16:16 + length].rstrip(b"\0").decode()
            events = events[16 + length:]
            if mask & 0x100:
                print("created", name, flush=True)
            elif mask & 0x40:
                moved[cookie] = name
            elif mask & 0x80:
                print("moved", moved.pop(cookie), name, flush=True)
            elif mask & 0x200:
                print("deleted", name, flush=True)
            else:
                print("odd", hex(mask), name, flush=True)
            if not mask & 0x40:
                seen.release()


observer = threading.Thread(target=observe)
observer.start()
assert libc.inotify_add_watch(watcher, os.fsencode(directory), 0x3c0) == 1, ctypes.get_errno()
open(directory + "/a", "w").close()
seen.acquire()
os.rename(directory + "/a", directory + "/b")
seen.acquire()
os.unlink(directory + "/b")
seen.acquire()
os.write(ender[1], b"x")
observer.join()
print("end")
end
python3 $T/observer.py $D/emptydir
