// SPDX-License-Identifier: GPL-2.0-only
//! `--net lo`: Internet sockets over the program's own loopback, unseen by the host.

use stowaway_tests::everyone;
use stowaway_tests::fixture::{Kind, Side};
use stowaway_tests::mounted::{our_lines, said_ok, Mounted};
use stowaway_tests::process::Run;

/// A server and clients in threads; it reads the host's socket tables while connections are open, and a closed port.
const HTTP: &str = r#"
import http.server, os, socket, socketserver, sys, threading, time, urllib.request
family = {"4": socket.AF_INET, "6": socket.AF_INET6}[sys.argv[1]]
host = {"4": "127.0.0.1", "6": "::1"}[sys.argv[1]]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (self.path * 1000).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    address_family = family
    daemon_threads = True
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
server = Server((host, 0), Handler)
port = server.server_port
threading.Thread(target=server.serve_forever, daemon=True).start()
url = "http://" + ("[::1]" if family == socket.AF_INET6 else host) + ":%d/" % port
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
wrong = []
def client(number):
    for i in range(20):
        path = "%d-%d" % (number, i)
        with opener.open(url + path, timeout=10) as answer:
            if answer.read() != ("/" + path).encode() * 1000:
                wrong.append(path)
clients = [threading.Thread(target=client, args=(n,)) for n in range(6)]
for thread in clients: thread.start()
held = socket.create_connection((host, port))
# A port alone proves nothing: another program of the host may have the same number at the same time.
inode = str(os.fstat(server.fileno()).st_ino)
rows = [line.split() for name in ("tcp", "tcp6") for line in open("/proc/net/" + name)]
seen = [row for row in rows if row[1].endswith(":%04X" % port) and row[9] == inode]
for thread in clients: thread.join()
held.close()
server.shutdown()
print(len(wrong), "wrong", "seen" if seen else "unseen")
"#;

fn http(mounted: &Mounted, family: &str, net: &str) -> String {
    let run = mounted.run(["python3", "-c", HTTP, family]).env("STOWAWAY_NET", net);
    let outcome = run.output();
    assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""), "IPv{family}");
    outcome.out()
}

/// A server, its clients, a child's pipe, a thread and timers, on each kind of event loop.
const LOOP: &str = r#"
import asyncio, selectors, sys, threading
async def serve(reader, writer):
    while data := await reader.read(1000): writer.write(data.upper())
    writer.close()
async def client(port, n):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    for i in range(20):
        writer.write(b'%d says %d' % (n, i))
        assert await reader.readexactly(len(b'%d says %d' % (n, i))) == (b'%d SAYS %d' % (n, i))
        if i % 7 == 0: await asyncio.sleep(0.001)
    writer.write_eof()
    assert await reader.read() == b''
    return n
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    child = await asyncio.create_subprocess_exec('sh', '-c', 'read x; echo got $x', stdin=-1, stdout=-1)
    clients = [asyncio.create_task(client(port, n)) for n in range(10)]
    print((await child.communicate(b'hello\n'))[0], child.returncode)
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set)).start()
    await asyncio.wait_for(done.wait(), 5)
    print(sum(await asyncio.gather(*clients)))
    try: await asyncio.wait_for(asyncio.Event().wait(), 0.02)
    except asyncio.TimeoutError: print('late')
for selector in selectors.EpollSelector, selectors.PollSelector, selectors.SelectSelector:
    loop = asyncio.SelectorEventLoop(selector())
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main())
    loop.close()
"#;

everyone! {
    fn an_http_server_and_its_clients_over_ipv4() {
        assert_eq!(http(&Mounted::new(Kind::Basic), "4", "lo"), "0 wrong unseen\n");
    }

    fn an_http_server_and_its_clients_over_ipv6() {
        assert_eq!(http(&Mounted::new(Kind::Basic), "6", "lo"), "0 wrong unseen\n");
    }

    fn without_net_the_sockets_are_the_hosts() {
        assert_eq!(http(&Mounted::new(Kind::Basic), "4", "none"), "0 wrong seen\n");
    }

    fn no_mount_is_needed() {
        let mounted = Mounted::new(Kind::Basic);
        let run = mounted.preload(Run::new(["python3", "-c", HTTP, "4"])).env("STOWAWAY_NET", "lo");
        assert_eq!(run.output().expect_exit(0).out(), "0 wrong unseen\n");
    }

    fn two_programs_have_two_loopbacks() {
        let mounted = Mounted::new(Kind::Basic);
        let script = "import socket, time\ns = socket.socket()\ns.bind(('127.0.0.1', 4711))\ns.listen()\ntime.sleep(0.5)\nprint('bound')";
        let run = mounted.preload(Run::new(["python3", "-c", script])).env("STOWAWAY_NET", "lo");
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| run.output());
            let two = scope.spawn(|| run.output());
            (one.join().expect("a run"), two.join().expect("a run"))
        });
        assert_eq!((one.expect_exit(0).out(), two.expect_exit(0).out()), ("bound\n".into(), "bound\n".into()));
    }

    fn calls_and_waits() {
        let mounted = Mounted::new(Kind::Basic);
        let program = mounted.program("sockets", include_str!("../programs/facts/sockets.c"));
        let native = [program.as_os_str().to_owned(), mounted.fixture.dir(Side::Native).into()];
        said_ok("natively", &Run::new(native).output());
        let outcome = mounted.run([program.into_os_string(), mounted.dir().into()]).env("STOWAWAY_NET", "lo").output();
        said_ok("through the shim", &outcome);
        assert_eq!(outcome.err(), "");
        mounted.check();
    }

    fn an_event_loop_has_sockets_and_pipes() {
        let mounted = Mounted::new(Kind::Basic);
        let native = Run::new(["python3", "-c", LOOP]).output();
        let outcome = mounted.preload(Run::new(["python3", "-c", LOOP])).env("STOWAWAY_NET", "lo").output();
        assert_eq!(outcome.expect_exit(0).out(), native.expect_exit(0).out());
        assert_eq!(outcome.err(), "");
    }

    fn an_unknown_net_is_refused() {
        let mounted = Mounted::new(Kind::Basic);
        let outcome = mounted.preload(Run::new(["true"])).env("STOWAWAY_NET", "tap").output();
        assert_eq!(outcome.status, "exit 0");
        let lines = our_lines(&outcome);
        assert!(lines.len() == 1 && lines[0].contains("STOWAWAY_NET"), "{lines:?}");
    }
}
