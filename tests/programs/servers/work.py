# SPDX-License-Identifier: GPL-2.0-only
"""Work in a directory, natively or on what a server has: says what was seen. work.py DIRECTORY [FEATURE...]"""
import errno, fcntl, hashlib, mmap, os, subprocess, sys

top = os.path.join(sys.argv[1], "work")
features = sys.argv[2:]


def say(*what):
    print(*what, flush=True)


def refused(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def path(name):
    return os.path.join(top, name)


os.mkdir(top)
os.umask(0o022)
# Contents: by write() in odd pieces, by append, at an offset, beyond the end.
pattern = b"".join(hashlib.sha256(bytes([n & 255, n >> 8])).digest() for n in range(8192))
with open(path("a"), "wb") as f:
    for at in range(0, len(pattern), 10007):
        f.write(pattern[at:at + 10007])
say("size", os.stat(path("a")).st_size, open(path("a"), "rb").read() == pattern)
fd = os.open(path("a"), os.O_RDWR)
os.pwrite(fd, b"x" * 100, 5000)
os.ftruncate(fd, 200_000)
os.ftruncate(fd, 210_000)
os.fsync(fd)
data = os.pread(fd, 300_000, 0)
say(len(data), data[5000:5100] == b"x" * 100)
if "zeros" in features:
    say("zeros", data[200_000:] == bytes(10_000))
os.close(fd)
with open(path("a"), "ab") as f:
    f.write(b"end")
say(open(path("a"), "rb").read()[-3:])
say(refused(lambda: open(path("missing"))), refused(lambda: os.mkdir(top)), refused(lambda: os.rmdir(top)))
say(refused(lambda: os.open(path("a"), os.O_CREAT | os.O_EXCL)), refused(lambda: os.listdir(path("a"))))
# Directories and names.
os.mkdir(path("d"))
for n in range(200):
    open(path(f"d/name-{n}"), "w").close()
os.rename(path("d/name-7"), path("d/a name, with ümlauts"))
os.unlink(path("d/name-8"))
say(sorted(os.listdir(path("d"))) == sorted([f"name-{n}" for n in range(200) if n not in (7, 8)] + ["a name, with ümlauts"]))
os.rename(path("d"), path("e"))
say(sorted(os.listdir(top)))
if "links" in features:
    os.symlink("a", path("s"))
    os.link(path("a"), path("h"))
    say(os.readlink(path("s")), os.stat(path("h")).st_nlink, os.stat(path("s")).st_size)
if "modes" in features:
    os.chmod(path("a"), 0o640)
    os.utime(path("a"), (1_000_000_000, 1_100_000_000))
    s = os.stat(path("a"))
    say(oct(s.st_mode), int(s.st_mtime), s.st_uid == os.geteuid())
# A file that is open and removed goes on.
if "silly" in features:
    f = open(path("gone"), "w+b")
    f.write(b"still here")
    f.flush()
    os.unlink(path("gone"))
    f.seek(0)
    say(f.read())
    f.close()
# Mappings.
fd = os.open(path("m"), os.O_RDWR | os.O_CREAT)
os.write(fd, pattern[:50_000])
private = mmap.mmap(fd, 50_000, mmap.MAP_PRIVATE, mmap.PROT_READ)
say("private", private[:] == pattern[:50_000])
private.close()
if "shared" in features:
    shared = mmap.mmap(fd, 50_000)
    shared[10_000:10_005] = b"hello"
    shared.flush()
    say("shared", os.pread(fd, 5, 10_000))
    shared.close()
os.close(fd)
say(open(path("m"), "rb").read() == pattern[:10_000] + (b"hello" if "shared" in features else pattern[10_000:10_005]) + pattern[10_005:50_000])
if "direct" in features:
    fd = os.open(path("direct"), os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    room = mmap.mmap(-1, 1 << 18)
    room[:] = pattern[:1 << 18]
    say("direct", os.writev(fd, [room]), os.preadv(fd, [room], 4096), room[:1000] == pattern[4096:5096])
    os.close(fd)
if "locks" in features:
    f = open(path("a"), "r+")
    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    other = "import fcntl, sys\nf = open(sys.argv[1], 'r+')\ntry:\n fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n print('locked')\nexcept OSError: print('held')"
    say(subprocess.run([sys.executable, "-c", other, path("a")], capture_output=True, text=True).stdout.strip())
    f.close()
# Other programs.
say(subprocess.run(f"cd {top} && cp -r e f && ls f | wc -l && sha256sum <m && rm -r f && df . >/dev/null && echo ok",
                   shell=True, capture_output=True, text=True).stdout)
if "keep" not in features:
    subprocess.run(["rm", "-r", top], check=True)
    say(os.path.exists(top))
