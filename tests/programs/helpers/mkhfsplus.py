# SPDX-License-Identifier: GPL-2.0-only
"""Makes an empty HFS+ volume (Debian has no maker of them): mkhfsplus.py IMAGE MEBIBYTES UID.

By Apple's Technical Note TN1150. All numbers are big-endian; blocks and nodes have 4096 bytes. Catalog and extents trees
have room for some nodes; the allocation file lies between them and the volume header.
"""
import os
import struct
import sys

BLOCK = 4096
NODE = 4096
TREE_BLOCKS = 64


def fork(first, blocks):
    return struct.pack(">QII", blocks * BLOCK, BLOCK, blocks) + struct.pack(">II", first, blocks) + bytes(56)


def node(kind, height, records):
    """A node: descriptor, records, and their offsets from the end backwards."""
    body, offsets = bytearray(14), []
    for record in records:
        offsets.append(len(body))
        body += record
    offsets.append(len(body))
    struct.pack_into(">IIbBHH", body, 0, 0, 0, kind, height, len(records), 0)
    table = b"".join(struct.pack(">H", offset) for offset in reversed(offsets))
    return bytes(body).ljust(NODE - len(table), b"\0") + table


def tree(leaves, records, key_length, attributes):
    """A tree with a header node, and one leaf node if there are records."""
    nodes = TREE_BLOCKS * BLOCK // NODE
    used = 1 + bool(leaves)
    root = 1 if leaves else 0
    header = struct.pack(">HIIIIHHIIHIBBI", bool(leaves), root, records, root, root, NODE, key_length, nodes,
                         nodes - used, 0, BLOCK, 0, 0, attributes) + bytes(64)
    bits = bytes([0xC0 if leaves else 0x80]).ljust(NODE - 14 - 106 - 128 - 8, b"\0")
    return (node(1, 0, [header, bytes(128), bits]) + (leaves or b"")).ljust(TREE_BLOCKS * BLOCK, b"\0")


def catalog(uid, name):
    """The root folder and its thread."""
    name = struct.pack(">H", len(name)) + name.encode("utf-16-be")
    folder = struct.pack(">HHII20xIIBBHI32xII", 1, 0, 0, 2, uid, uid, 0, 0, 0o40755, 0, 0, 0)
    thread = struct.pack(">HHI", 3, 0, 1) + name
    key = lambda parent, name: struct.pack(">HI", 4 + len(name), parent) + name
    records = [key(1, name) + folder, key(2, struct.pack(">H", 0)) + thread]
    return tree(node(-1, 1, records), 2, 516, 6)


def main():
    image, size, uid = sys.argv[1], int(sys.argv[2]) << 20, int(sys.argv[3])
    total = size // BLOCK
    bitmap_blocks = -(-total // (8 * BLOCK))
    extents_at = 1 + bitmap_blocks
    catalog_at = extents_at + TREE_BLOCKS
    first_free = catalog_at + TREE_BLOCKS
    bits = bytearray(bitmap_blocks * BLOCK)
    for block in [*range(first_free), total - 1]:
        bits[block // 8] |= 0x80 >> block % 8
    header = struct.pack(">2sHI4sI16xIIIIIIIIIIQ32x", b"H+", 4, 0x100, b"10.0", 0, 0, 0, BLOCK, total,
                         total - first_free - 1, first_free, BLOCK, BLOCK, 16, 0, 1)
    header += fork(1, bitmap_blocks) + fork(extents_at, TREE_BLOCKS) + fork(catalog_at, TREE_BLOCKS) + bytes(160)
    with open(image, "wb") as file:
        file.truncate(size)
        for at, what in [(1024, header), (size - 1024, header), (BLOCK, bits),
                         (extents_at * BLOCK, tree(None, 0, 10, 2)), (catalog_at * BLOCK, catalog(uid, "volume"))]:
            file.seek(at)
            file.write(what)
        os.fsync(file.fileno())


main()
