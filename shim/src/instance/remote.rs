// SPDX-License-Identifier: GPL-2.0-only
//! Directories that servers of the network have: where the server is, and what the kernel's client is told.

use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};

use lkl::Kernel;
use stowaway_config::{Mount, Protocol, Remote};

use crate::instance::network::{self, names};
use crate::sys::credentials::Credentials;
use crate::sys::errno::{Errno, Explained};
use crate::sys::fs;
use crate::sys::thread::Thread;

/// What mount(2) is called with.
pub struct Found {
    /// The type of the file system.
    pub fstype: &'static str,
    /// The directory's name, as the client reads it.
    pub device: CString,
    /// Options, in the order in which they are tried.
    pub tries: Vec<Vec<String>>,
}

impl Found {
    /// Tries the options in turn, as long as the server does not speak a version.
    pub fn in_turn(&self, attempt: impl Fn(Vec<String>) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut done = Err(Errno::EPROTONOSUPPORT);
        for options in &self.tries {
            done = attempt(options.clone());
            if done != Err(Errno::EPROTONOSUPPORT) {
                break;
            }
        }
        done
    }
}

/// The options without those that are read here.
pub fn without_files(data: String) -> String {
    if !data.contains("credentials=") {
        return data;
    }
    let kept: Vec<_> = data.split(',').filter(|opt| !opt.starts_with("credentials=")).collect();
    kept.join(",")
}

/// A reason, and its errno.
type Why = (Errno, String);

/// Finds the server, and looks whether it answers. Inside a section.
pub fn find(
    kernel: &'static Kernel,
    thread: &'static Thread,
    mount: &Mount,
    remote: &Remote,
) -> Result<Found, Why> {
    let mut own = match given(mount, &["credentials="]) {
        Some(file) => credentials(&file["credentials=".len()..])?,
        None => Vec::new(),
    };
    own.extend(remote.port.map(|port| format!("port={port}")).filter(|_| given(mount, &["port="]).is_none()));
    let address = reach(kernel, thread, mount, remote)?;
    let device = device(remote, address);
    let device = CString::new(device).map_err(|_| (Errno::EINVAL, "the path has a NUL byte".into()))?;
    let common = [common(mount, remote, address), own].concat();
    let tries = match remote.protocol {
        Protocol::Nfs => versions_of_nfs(mount, &common),
        Protocol::Smb | Protocol::NineP => vec![common],
    };
    Ok(Found { fstype: remote.protocol.fstype(), device, tries })
}

/// The option of the mount that begins with one of these.
fn given<'a>(mount: &'a Mount, names: &[&str]) -> Option<&'a str> {
    mount.opts.iter().map(String::as_str).find(|opt| names.iter().any(|name| opt.starts_with(name)))
}

/// The first of the server's addresses where somebody listens.
fn reach(
    kernel: &'static Kernel,
    thread: &'static Thread,
    mount: &Mount,
    remote: &Remote,
) -> Result<IpAddr, Why> {
    let host = &remote.host;
    let all = names::addresses(host).map_err(|why| (Errno::EHOSTUNREACH, format!("{host}: {why}")))?;
    let port = given(mount, &["port="]).and_then(|opt| opt[5..].parse().ok());
    let port = port.or(remote.port).unwrap_or(remote.protocol.port());
    let mut last = Errno::EHOSTUNREACH;
    for address in all {
        match network::connects(kernel, thread, SocketAddr::new(address, port)) {
            Ok(()) => return Ok(address),
            Err(e) => last = e,
        }
    }
    Err((last, format!("port {port} of {host} does not answer: {}", Explained(last))))
}

fn device(remote: &Remote, address: IpAddr) -> Vec<u8> {
    let host = match remote.host.parse() {
        Ok(IpAddr::V6(host)) => format!("[{host}]"),
        _ => remote.host.clone(),
    };
    match remote.protocol {
        Protocol::Nfs => [host.as_bytes(), b":", &remote.path].concat(),
        Protocol::Smb => [b"//", host.as_bytes(), &remote.path].concat(),
        Protocol::NineP => address.to_string().into_bytes(),
    }
}

/// What is said of the server, however it is tried.
fn common(mount: &Mount, remote: &Remote, address: IpAddr) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |name: &str, value: &str| {
        if given(mount, &[&format!("{name}=")]).is_none() {
            all.push(format!("{name}={value}"));
        }
    };
    match remote.protocol {
        Protocol::Nfs => add("addr", &address.to_string()),
        Protocol::Smb => {
            add("ip", &address.to_string());
            match &remote.user {
                Some(user) => add("user", user),
                None if given(mount, &["user", "credentials=", "sec="]).is_none() => {
                    all.extend(["user=guest", "password="].map(String::from))
                }
                None => {}
            }
        }
        Protocol::NineP => {
            add("trans", "tcp");
            add("version", "9p2000.L");
            add("aname", &String::from_utf8_lossy(&remote.path));
            // All that the instance does is this user's: there is one who mounts, and no other user's login.
            add("access", "any");
            let own = || names::user(Credentials::now().ok()?.uid[1]);
            if let Some(user) = remote.user.clone().or_else(own) {
                add("uname", &user);
            }
        }
    }
    all
}

/// As mount.cifs(8) reads the file that credentials= names.
fn credentials(path: &str) -> Result<Vec<String>, Why> {
    let cannot = |e: Errno| (e, format!("credentials={path} cannot be read: {}", Explained(e)));
    let name = CString::new(path).map_err(|_| cannot(Errno::EINVAL))?;
    // A device that has no end is no such file.
    let mut text = vec![0; 4096];
    let len = fs::read_start(&name, &mut text).map_err(cannot)?;
    let mut all = Vec::new();
    for line in String::from_utf8_lossy(&text[..len]).lines().map(str::trim) {
        let Some((key, value)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            continue;
        };
        let name = match key {
            "username" | "user" => "user",
            "password" | "pass" => "password",
            "domain" | "dom" => "domain",
            _ => continue,
        };
        // A comma that is meant is written twice (smb3_fs_context_parse_monolithic()).
        all.push(format!("{name}={}", value.replace(',', ",,")));
    }
    match all.is_empty() {
        true => Err((Errno::EINVAL, format!("credentials={path} has no username= and no password="))),
        false => Ok(all),
    }
}

/// The newest version that the server speaks, as mount.nfs(8) looks for it. Locks of NFS 3 are the instance's own: its lock
/// manager would need a daemon of the user's (rpc.statd).
fn versions_of_nfs(mount: &Mount, common: &[String]) -> Vec<Vec<String>> {
    let with = |more: &[&str]| common.iter().cloned().chain(more.iter().map(|o| o.to_string())).collect();
    let lock = match given(mount, &["lock", "nolock", "local_lock="]) {
        Some(_) => &[][..],
        None => &["nolock"][..],
    };
    match given(mount, &["vers=", "nfsvers=", "v3", "v4", "minorversion="]) {
        Some(version) if version.trim_start_matches(|c: char| !c.is_ascii_digit()).starts_with('3') => {
            vec![with(lock)]
        }
        Some(_) => vec![with(&[])],
        None => {
            let mut tries: Vec<_> =
                ["vers=4.2", "vers=4.1", "vers=4.0"].map(|version| with(&[version])).into();
            tries.push(with(&[&["vers=3"], lock].concat()));
            tries
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mount: &str) -> (String, Vec<String>) {
        let mount = Mount::parse(mount.as_bytes()).unwrap();
        let remote = mount.remote().unwrap();
        let address = "10.0.2.2".parse().unwrap();
        let common = common(&mount, &remote, address);
        let tries = match remote.protocol {
            Protocol::Nfs => versions_of_nfs(&mount, &common),
            _ => vec![common],
        };
        let device = String::from_utf8(device(&remote, address)).unwrap();
        (device, tries.iter().map(|all| all.join(",")).collect())
    }

    #[test]
    fn what_the_clients_are_told() {
        let (device, tries) = options("nfs://nas/a:/mnt");
        assert_eq!(device, "nas:/a");
        assert_eq!(tries[0], "addr=10.0.2.2,vers=4.2");
        assert_eq!(tries[3], "addr=10.0.2.2,vers=3,nolock");
        assert_eq!(options("nfs://[fd00::1]/a:/mnt,opts=vers=4.1").1, ["addr=10.0.2.2"]);
        assert_eq!(options("nfs://nas/a:/mnt,opts=vers=3").1, ["addr=10.0.2.2,nolock"]);
        assert_eq!(options("nfs://nas/a:/mnt,opts=vers=3+lock").1, ["addr=10.0.2.2"]);
        let (device, tries) = options("smb://me@nas/a/b:/mnt,opts=password=x");
        assert_eq!((&device[..], &tries[..]), ("//nas/a/b", &["ip=10.0.2.2,user=me".to_string()][..]));
        assert_eq!(options("smb://nas/a:/mnt").1, ["ip=10.0.2.2,user=guest,password="]);
        let nine_p = "trans=tcp,version=9p2000.L,aname=/a,access=any,uname=me";
        assert_eq!(options("9p://me@nas/a:/mnt").1, [nine_p]);
    }
}
