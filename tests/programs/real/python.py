# SPDX-License-Identifier: GPL-2.0-only
# Threads, subprocesses, ctypes, asyncio.
import asyncio, ctypes, hashlib, os, signal, socket, subprocess, sys, tempfile, threading, time

R, W = os.environ["R"], os.environ["W"]
hello = os.path.join(R, "hello.txt")

def work(number):
    with open(hello) as file:
        return hashlib.sha256((file.read() + str(number)).encode()).hexdigest()[:8]

def in_threads():
    results = [None] * 16
    def body(i):
        for _ in range(50):
            results[i] = work(i)
    threads = [threading.Thread(target=body, args=(i,)) for i in range(16)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    print("threads", results)

def in_processes():
    print(subprocess.run(["cat", hello], capture_output=True, text=True).stdout[:5])
    print(subprocess.run("head -c 5 \"$R/hello.txt\" | tr a-z A-Z", shell=True, capture_output=True).stdout)
    print(subprocess.run([sys.executable, "-c", "import os; print(len(os.listdir(os.environ['R'])) > 3)"], capture_output=True).stdout)
    child = subprocess.Popen(["sleep", "30"])
    child.send_signal(signal.SIGTERM)
    print("ended", child.wait())
    try:
        subprocess.run(["/no/such/program"])
    except FileNotFoundError:
        print("no such program")
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work(1) else 1)
    print("fork", os.waitpid(pid, 0)[1])

def by_ctypes():
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(2, hello.encode(), 0)
    text = ctypes.create_string_buffer(5)
    print("ctypes", fd > 2, libc.syscall(0, fd, text, 5), text.raw, libc.close(fd), libc.syscall(3, -1), ctypes.get_errno())

async def tasks():
    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async def ask(i):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"question %d\n" % i)
        answer = await reader.readline()
        writer.close()
        return answer
    print("asyncio", await asyncio.gather(*(ask(i) for i in range(10))))
    child = await asyncio.create_subprocess_exec("head", "-c", "5", hello, stdout=subprocess.PIPE)
    print((await child.communicate())[0])
    server.close()

def timers():
    count = []
    signal.signal(signal.SIGUSR1, lambda *_: count.append(1))
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(0.02)
    print("signals", len(count) > 0)

def files():
    with tempfile.TemporaryDirectory(dir=W) as directory:
        for i in range(50):
            with open(os.path.join(directory, str(i)), "w") as file:
                file.write("x" * i)
        print("files", sum(entry.stat().st_size for entry in os.scandir(directory)))

if __name__ == "__main__":
    in_threads()
    in_processes()
    by_ctypes()
    asyncio.run(tasks())
    timers()
    files()
    sys.exit(3)
