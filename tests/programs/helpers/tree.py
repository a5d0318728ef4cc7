# SPDX-License-Identifier: GPL-2.0-only
"""Fills a directory by rules, changes it by rules, and compares it with what the rules say.

tree.py fill|change|check|check-changed DIRECTORY FEATURE...

Features that not every file system has: links, symlinks, modes, xattr, sparse, long (names of 200 bytes), unicode,
small (less data). Prints what differs, and nothing if all is right.
"""
import hashlib
import os
import stat
import sys


def data(name, size):
    """Half of it packs well, half of it not at all; the same at each run."""
    seed = hashlib.sha256(name.encode()).digest()
    out = bytearray()
    while len(out) < size:
        seed = hashlib.sha256(seed).digest()
        out += seed * 32 if seed[0] & 1 else b"".join(hashlib.sha256(seed + bytes([n])).digest() for n in range(32))
    return bytes(out[:size])


class Tree:
    """The tree as it is to be; and, if it is real, the one in the directory."""

    def __init__(self, root, features, real):
        self.root, self.features, self.real = root, features, real
        self.files, self.directories, self.symlinks, self.modes, self.xattrs = {}, set(), {}, {}, {}

    def at(self, path):
        return os.path.join(self.root, path)

    def mkdir(self, path):
        self.directories.add(path)
        if self.real:
            os.mkdir(self.at(path))

    def write(self, path, content, at=0):
        old = self.files.get(path, b"")
        self.files[path] = old[:at].ljust(at, b"\0") + content + old[at + len(content):]
        if self.real:
            fd = os.open(self.at(path), os.O_WRONLY | os.O_CREAT, 0o644)
            rest = memoryview(content)
            os.lseek(fd, at, os.SEEK_SET)
            while rest:
                rest = rest[os.write(fd, rest):]
            if len(content) % 3 == 0:
                os.fsync(fd)
            os.close(fd)

    def truncate(self, path, size):
        self.files[path] = self.files[path][:size].ljust(size, b"\0")
        if self.real:
            os.truncate(self.at(path), size)

    def remove(self, path):
        del self.files[path]
        self.modes.pop(path, None)
        self.xattrs.pop(path, None)
        if self.real:
            os.unlink(self.at(path))

    def rename(self, old, new):
        for kept in self.files, self.modes, self.xattrs, self.symlinks:
            kept.pop(new, None)
            if old in kept:
                kept[new] = kept.pop(old)
        if self.real:
            os.rename(self.at(old), self.at(new))

    def rename_directory(self, old, new):
        moved = lambda path: new + path[len(old):] if path == old or path.startswith(old + "/") else path
        for name in "files", "modes", "xattrs", "symlinks":
            setattr(self, name, {moved(path): what for path, what in getattr(self, name).items()})
        self.directories = {moved(path) for path in self.directories}
        if self.real:
            os.rename(self.at(old), self.at(new))

    def link(self, old, new):
        self.files[new] = self.files[old]
        if old in self.modes:
            self.modes[new] = self.modes[old]
        if self.real:
            os.link(self.at(old), self.at(new))

    def symlink(self, to, path):
        self.symlinks[path] = to
        if self.real:
            os.symlink(to, self.at(path))

    def chmod(self, path, mode):
        self.modes[path] = mode
        if self.real:
            os.chmod(self.at(path), mode)

    def setxattr(self, path, value):
        self.xattrs[path] = value
        if self.real:
            os.setxattr(self.at(path), "user.note", value)

    def fill(self):
        small = "small" in self.features
        sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 12288, 70001]
        for d in range(4):
            self.mkdir(f"d{d}")
            self.mkdir(f"d{d}/sub")
            for n in range(20 if small else 60):
                path = f"d{d}/sub/f{n}" if n % 4 == 0 else f"d{d}/f{n}"
                self.write(path, data(path, sizes[(n + d) % len(sizes)]))
        self.write("large", data("large", 300_000 if small else 5_000_003))
        self.write("large", data("middle", 100_000), 150_001)
        self.write("d0/f1", b"appended", len(self.files["d0/f1"]))
        self.write("temporary", b"to be renamed")
        self.rename("temporary", "d1/renamed")
        self.write("over", b"new")
        self.rename("over", "d1/f1")
        self.rename_directory("d2", "d0/moved")
        self.some_of_the_others()

    def some_of_the_others(self):
        if "sparse" in self.features:
            self.write("sparse", b"end", 3_000_000)
        if "long" in self.features:
            self.write("l" * 200, b"long")
        if "unicode" in self.features:
            self.write("Größe \u30d5\u30a1\u30a4\u30eb", b"unicode")
        if "links" in self.features:
            self.link("d0/f2", "d1/linked")
        if "symlinks" in self.features:
            self.symlink("d0/f3", "symlink")
            self.symlink("x" * 100 + "/" + "y" * 100, "d0/long symlink")
        if "modes" in self.features:
            for n, mode in enumerate([0o600, 0o755, 0o711, 0o640]):
                self.chmod(f"d3/f{4 * n + 1}", mode)
        if "xattr" in self.features:
            self.setxattr("d3/f2", b"short")
            self.setxattr("d3/f3", data("value", 700))

    def change(self):
        for n, path in enumerate(sorted(self.files)):
            if path.startswith("d") and "linked" not in path and path != "d0/f2":
                if n % 3 == 0:
                    self.remove(path)
                elif n % 7 == 0:
                    self.truncate(path, len(self.files[path]) // 2)
                elif n % 11 == 0:
                    self.truncate(path, len(self.files[path]) + 5000)
        self.truncate("large", 200_000)
        self.write("large", data("again", 90_000), 110_000)
        for n in range(30):
            self.write(f"new{n}", data(f"new{n}", 3000 * n))

    def problems(self):
        found_directories, found_files, found_links = set(), set(), {}
        for at, directories, files in os.walk(self.root):
            for name in directories + files:
                path = os.path.relpath(os.path.join(at, name), self.root)
                kind = os.lstat(self.at(path)).st_mode
                if stat.S_ISLNK(kind):
                    found_links[path] = os.readlink(self.at(path))
                elif stat.S_ISDIR(kind):
                    found_directories.add(path)
                else:
                    found_files.add(path)
        # what makers and checkers put there
        found_directories -= {"lost+found"}
        found_files = {path for path in found_files if not path.startswith(".nilfs")}
        yield from (f"directory {path}" for path in found_directories ^ self.directories)
        yield from (f"file {path}" for path in found_files ^ set(self.files))
        if found_links != self.symlinks:
            yield f"symlinks {found_links}"
        for path in found_files & set(self.files):
            with open(self.at(path), "rb") as file:
                content = file.read()
            if content != self.files[path] or os.stat(self.at(path)).st_size != len(content):
                yield f"content of {path}: {len(content)} bytes, expected {len(self.files[path])}"
            mode = stat.S_IMODE(os.stat(self.at(path)).st_mode)
            if path in self.modes and mode != self.modes[path]:
                yield f"mode of {path}: {mode:o}"
        for path, value in self.xattrs.items():
            if os.getxattr(self.at(path), "user.note") != value:
                yield f"xattr of {path}"


def main():
    what, root, *features = sys.argv[1:]
    tree = Tree(root, features, what == "fill")
    tree.fill()
    tree.real = what == "change"
    if what in ("change", "check-changed"):
        tree.change()
    if what.startswith("check"):
        for problem in tree.problems():
            print(problem)


main()
