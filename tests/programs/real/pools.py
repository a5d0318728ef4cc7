# SPDX-License-Identifier: GPL-2.0-only
# Pools of processes, from a process that had threads.
import multiprocessing, os, signal, sys, threading, time

def work(number):
    with open(os.path.join(os.environ["R"], "hello.txt")) as file:
        return len(file.read()) + number

def pools():
    for way in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(way).Pool(2) as pool:
            print(way, pool.map(work, range(4)), flush=True)

if __name__ == "__main__":
    signal.alarm(10)
    pools()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    time.sleep(0.2)  # joined is not yet gone
    pools()
    sys.exit(2)
