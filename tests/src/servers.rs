// SPDX-License-Identifier: GPL-2.0-only
//! Servers of files for tests: nfs-ganesha (NFS 4), diod (9P) and smbd (SMB), as the test's own user, on ports of the loopback, with a
//! folder of their own for what they leave.

use crate::network::{free_port, has};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server, which ends with the value.
pub struct FileServer {
    child: Child,
    folder: tempfile::TempDir,
    start: fn(&Path, u16) -> Command,
    /// The port at 127.0.0.1.
    pub port: u16,
}

impl FileServer {
    /// nfs-ganesha with a file system in its memory, as /mem. `None`: not installed.
    pub fn nfs() -> Option<FileServer> {
        FileServer::new("ganesha.nfsd", nfs)
    }

    /// diod, which has the folder `export`.
    pub fn nine_p() -> Option<FileServer> {
        FileServer::new("diod", nine_p)
    }

    /// smbd, which has the folder `export` as `share`, for guests.
    pub fn smb() -> Option<FileServer> {
        FileServer::new("smbd", smb)
    }

    fn new(program: &str, start: fn(&Path, u16) -> Command) -> Option<FileServer> {
        if !has(program) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("export")).expect("a folder");
        let port = free_port();
        let child = spawn(start(folder.path(), port));
        let server = FileServer { child, folder, start, port };
        server.wait();
        Some(server)
    }

    /// What a server has on the host, if that is a folder.
    pub fn export(&self) -> PathBuf {
        self.folder.path().join("export")
    }

    /// The server ends at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The server answers nobody any more.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// The server answers again.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill(1)").success());
    }

    /// The server is there again.
    pub fn restart(&mut self) {
        self.child = spawn((self.start)(self.folder.path(), self.port));
        self.wait();
    }

    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(
                Instant::now() < until,
                "the server does not start: {:?}",
                fs::read_to_string(self.folder.path().join("log"))
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a server")
}

/// A command with words, of which `@` stands for the folder.
fn command(folder: &Path, words: &[&str]) -> Command {
    let folder = folder.display().to_string();
    let words: Vec<String> = words.iter().map(|word| word.replace('@', &folder)).collect();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command
}

fn nfs(folder: &Path, port: u16) -> Command {
    let text = format!(
        "NFS_CORE_PARAM {{ NFS_Port = {port}; Bind_addr = 127.0.0.1; Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false;
    Plugins_Dir = /usr/lib/x86_64-linux-gnu/ganesha; }}
NFSV4 {{ Graceless = true; Only_Numeric_Owners = true; RecoveryBackend = fs; RecoveryRoot = {}; }}
MEM {{ Inode_Size = 1048576; UP_Test_Interval = 0; }}
EXPORT {{ Export_Id = 1; Path = /mem; Pseudo = /mem; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Protocols = 4;
    FSAL {{ Name = MEM; }} }}
",
        folder.display()
    );
    fs::write(folder.join("conf"), text).expect("a file");
    command(folder, &["ganesha.nfsd", "-F", "-f", "@/conf", "-L", "@/log", "-p", "@/pid"])
}

fn nine_p(folder: &Path, port: u16) -> Command {
    let listen = format!("127.0.0.1:{port}");
    command(folder, &["diod", "-f", "-n", "-c", "/dev/null", "-e", "@/export", "-l", &listen, "-L", "@/log"])
}

fn smb(folder: &Path, port: u16) -> Command {
    let own: String = [
        "private dir",
        "lock directory",
        "state directory",
        "cache directory",
        "pid directory",
        "ncalrpc dir",
    ]
    .map(|key| format!("{key} = {}/own\n", folder.display()))
    .concat();
    let text = format!(
        "[global]\nserver role = standalone\nsmb ports = {port}\ninterfaces = 127.0.0.1\nbind interfaces only = yes\n{own}\
         log file = {0}/log\nmap to guest = Bad User\nguest account = {1}\npassdb backend = tdbsam:{0}/own/passdb.tdb\n\
         disable netbios = yes\nload printers = no\ndisable spoolss = yes\n\
         [share]\npath = {0}/export\nguest ok = yes\nread only = no\n",
        folder.display(),
        if crate::user::is_root() { "root" } else { "nobody" },
    );
    let _ = fs::create_dir(folder.join("own"));
    fs::write(folder.join("conf"), text).expect("a file");
    command(folder, &["smbd", "-F", "--no-process-group", "-s", "@/conf", "--debug-stdout"])
}
