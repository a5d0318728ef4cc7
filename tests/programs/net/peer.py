# SPDX-License-Identifier: GPL-2.0-only
"""The other side of the network tests: a server, and what the program under test does with it.

serve ADDRESS    serves TCP and UDP at one port, prints the port
names ADDRESS    answers questions of DNS
leases ADDRESS   gives an address by DHCP
WHAT ADDRESS PORT [BYTES]   what the program does; prints "ok"
"""
import hashlib, os, socket, struct, sys, threading

BLOCK = os.urandom(1 << 16)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def send_all(s, count):
    """Sends bytes, half-closes; the digest of what was sent."""
    digest, left = hashlib.sha256(), count
    while left:
        part = BLOCK[: min(left, len(BLOCK))]
        s.sendall(part)
        digest.update(part)
        left -= len(part)
    s.shutdown(socket.SHUT_WR)
    return digest.digest()


def receive_all(s):
    digest, count = hashlib.sha256(), 0
    while part := s.recv(1 << 17):
        digest.update(part)
        count += len(part)
    return count, digest.digest()


# -- the server

def answer(s):
    what = s.recv(8)
    if what == b"upload..":
        count, digest = receive_all(s)
        print("got", count, flush=True)
        s.sendall(struct.pack("!Q", count) + digest)
    elif what == b"download":
        count, = struct.unpack("!Q", s.recv(8, socket.MSG_WAITALL))
        digest, left = hashlib.sha256(), count
        while left:
            part = BLOCK[: min(left, len(BLOCK))]
            s.sendall(part)
            digest.update(part)
            left -= len(part)
        s.sendall(digest.digest())
    elif what == b"echo....":
        while part := s.recv(1 << 16):
            s.sendall(part)
    elif what == b"reset...":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def serve(address):
    tcp = socket.socket(family(address), socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp = socket.socket(family(address), socket.SOCK_DGRAM)
    tcp.bind((address, 0))
    port = tcp.getsockname()[1]
    udp.bind((address, port))
    tcp.listen(1000)

    def echo():
        while True:
            data, peer = udp.recvfrom(65535)
            udp.sendto(data, peer)

    threading.Thread(target=echo, daemon=True).start()
    print(port, flush=True)
    while True:
        s, _ = tcp.accept()
        threading.Thread(target=answer, args=(s,), daemon=True).start()


def names(address):
    """A server of names at port 53: each has 192.0.2.77."""
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.bind((address, 53))
    print(53, flush=True)
    while True:
        query, peer = s.recvfrom(512)
        end = 12
        while query[end]:
            end += query[end] + 1
        is_a = query[end + 1:end + 3] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4\xc0\0\2\x4d" if is_a else b""
        head = query[:2] + b"\x81\x80\0\1\0" + bytes([is_a]) + b"\0\0\0\0"
        s.sendto(head + query[12:end + 5] + answer, peer)


def leases(address):
    """A server of DHCP on tap0 that gives 10.9.0.77, and lies before each answer."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"tap0")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.bind(("0.0.0.0", 67))
    own = socket.inet_aton(address)
    print(67, flush=True)

    def answer(query, kind, given, mask=b"\xff\xff\xff\0"):
        head = b"\2" + query[1:16] + given + own + bytes(4) + query[28:236] + b"\x63\x82\x53\x63"
        return head + (b"\x35\1" + bytes([kind]) + b"\x36\4" + own + b"\1\4" + mask + b"\3\4" + own
                       + b"\6\4" + own + b"\x33\4\0\0\x0e\x10\xff")

    while True:
        query, _ = s.recvfrom(1500)
        kind = query[query.index(b"\x35\1", 236) + 2]
        good = answer(query, 2 if kind == 1 else 5, b"\x0a\x09\0\x4d")
        wrong_id = good[:4] + bytes(4) + good[8:]
        odd_mask = answer(query, 2, b"\x0a\x09\0\x4e", b"\xff\0\xff\0")
        nobody = answer(query, 2, bytes(4))
        for message in (b"", os.urandom(300), good[:250], wrong_id, odd_mask, nobody, good):
            s.sendto(message, ("255.255.255.255", 68))


# -- the program under test

def connect(address, port):
    s = socket.socket(family(address))
    s.settimeout(40)
    s.connect((address, port))
    return s


def upload(address, port, count):
    with connect(address, port) as s:
        s.sendall(b"upload..")
        digest = send_all(s, count)
        assert s.recv(40, socket.MSG_WAITALL) == struct.pack("!Q", count) + digest


def download(address, port, count):
    with connect(address, port) as s:
        s.sendall(b"download" + struct.pack("!Q", count))
        digest, left = hashlib.sha256(), count
        while left:
            part = s.recv(min(left, 1 << 17))
            assert part, "the end after %d bytes" % (count - left)
            digest.update(part)
            left -= len(part)
        assert s.recv(32, socket.MSG_WAITALL) == digest.digest()
        assert s.recv(1) == b""


def echo(address, port, count=100):
    with connect(address, port) as s:
        s.sendall(b"echo....")
        for i in range(count):
            text = b"%d" % i * (i % 300 + 1)
            s.sendall(text)
            assert s.recv(len(text), socket.MSG_WAITALL) == text
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""


def udp(address, port, count=20):
    with socket.socket(family(address), socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((address, port))
        for size in [1, 100, 1400, 1472, 3000, 9000][:6] * (count // 6 or 1):
            data = os.urandom(size)
            for attempt in range(3):
                s.send(data)
                try:
                    assert s.recv(65535) == data
                    break
                except socket.timeout:
                    assert attempt < 2, size


def refused(address, port):
    try:
        connect(address, 1).close()
        raise AssertionError("connected")
    except ConnectionRefusedError:
        pass


def reset(address, port):
    with connect(address, port) as s:
        s.sendall(b"reset...")
        try:
            assert s.recv(1) == b"", "data"
            raise AssertionError("an orderly end")
        except ConnectionResetError:
            pass


def child(address, port):
    """A child goes on with its parent's connection, and the parent after it."""
    with connect(address, port) as s:
        s.sendall(b"echo....one")
        assert s.recv(3, socket.MSG_WAITALL) == b"one"
        pid = os.fork()
        if pid == 0:
            s.sendall(b"two")
            os._exit(0 if s.recv(3, socket.MSG_WAITALL) == b"two" else 1)
        assert os.waitpid(pid, 0)[1] == 0
        s.sendall(b"three")
        assert s.recv(5, socket.MSG_WAITALL) == b"three"


def executed(address, port):
    """The connection outlives an exec."""
    s = connect(address, port)
    s.sendall(b"echo....one")
    assert s.recv(3, socket.MSG_WAITALL) == b"one"
    os.set_inheritable(s.fileno(), True)
    os.execv(sys.executable, [sys.executable, sys.argv[0], "after", str(s.fileno()), "0"])


def after(fd, _):
    s = socket.socket(fileno=int(fd))
    s.setblocking(True)
    s.sendall(b"two")
    assert s.recv(3, socket.MSG_WAITALL) == b"two"


def many(address, port, count=200):
    all = [connect(address, port) for _ in range(count)]
    for i, s in enumerate(all):
        s.sendall(b"echo....%05d" % i)
    for i, s in enumerate(all):
        assert s.recv(5, socket.MSG_WAITALL) == b"%05d" % i
        s.close()


def linger(address, port, count):
    """Ends with data still on its way."""
    s = connect(address, port)
    s.sendall(b"upload..")
    send_all(s, count)
    os._exit(0)


if sys.argv[1] in ("serve", "names", "leases"):
    globals()[sys.argv[1]](sys.argv[2])
else:
    address, *numbers = sys.argv[2:]
    globals()[sys.argv[1]](address, *map(int, numbers))
    print("ok")
