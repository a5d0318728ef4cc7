// SPDX-License-Identifier: GPL-2.0-only
//! The network of the kernel: its interfaces to the outside, what is behind them on the host, and their addresses.
//!
//! | file | what it has |
//! |---|---|
//! | `back_end.rs` | which back end, and what the kernel is told of it |
//! | `tap.rs`, `given.rs`, `stream.rs`, `switch.rs`, `pair.rs`, `user.rs` | how each back end is opened, and comes back |
//! | `capture.rs` | the files that frames are written to |
//! | `configure.rs`, `netlink.rs`, `attributes.rs` | addresses and routes |
//! | `dhcp.rs`, `lease.rs` | an address that a server gives |
//! | `inet.rs` | sockets in the kernel, to ask others with |
//! | `personality.rs`, `queues.rs`, `wg/` | what is made of the network: delays and queues, a tunnel over it |
//! | `program.rs` | programs of the host that work for the network |
//! | `names.rs` | addresses of servers |
//!
//! The process that boots the kernel does all this, once. The moving of frames is `lkl::dev::net`.

mod attributes;
mod back_end;
mod capture;
mod configure;
mod dhcp;
mod given;
mod inet;
mod lease;
pub mod names;
mod netlink;
mod pair;
mod personality;
mod program;
mod queues;
mod stream;
mod switch;
mod tap;
mod user;
mod wg;

use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use lkl::{Kernel, LinkEvent, Renewal, Renewed};
use stowaway_config::{BackEnd, Interface, Net, MOST_INTERFACES};

use crate::sys::errno::{from_raw, Errno, Explained, Result};
use crate::sys::fs::{self, OwnedFd};
use crate::sys::report::say;
use crate::sys::settings::settings;
use crate::sys::thread::Thread;
use back_end::Opened;
use capture::Captures;
use inet::Inet;

/// The network is not as it was asked for.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Whether the network is as it was asked for.
pub fn is_there() -> bool {
    !HAS_FAILED.load(Ordering::Relaxed)
}

/// A network that is on its way: opened before the kernel boots, so that what takes time is done meanwhile.
pub struct Begun(core::result::Result<(Vec<Opened>, Captures), String>);

/// Opens what the interfaces need of the host.
pub fn open() -> Begun {
    let all = settings().interfaces().iter().enumerate();
    let opened: core::result::Result<_, _> =
        all.map(|(number, asked)| back_end::open(asked).map_err(|why| of(number, why))).collect();
    Begun(opened.and_then(|opened| Ok((opened, Captures::open()?))))
}

/// What is wrong with an interface, with its name where there are several.
fn of(number: usize, why: String) -> String {
    match settings().interfaces().len() {
        ..=1 => why,
        _ => format!("eth{number}: {why}"),
    }
}

/// This process goes on with a kernel whose network was set up before.
pub fn is_attached() {
    attend();
    IS_UP.store(true, Ordering::Release);
}

/// What the interfaces need of this process.
fn attend() {
    lkl::report_network_by(report);
    lkl::renew_network_by(Renewal { renew, give_up });
}

/// What there is in place of the back end of an interface.
fn renew(number: usize, listener: Option<i32>) -> Renewed {
    match settings().net.interfaces().get(number).map(|interface| &interface.back_end) {
        Some(BackEnd::Switch(path)) => switch::renew(path),
        Some(BackEnd::Pair(path)) => pair::renew(path, listener),
        _ => Renewed::NotYet,
    }
}

/// The instance ends, and somebody is still waited for.
fn give_up(number: usize) {
    if let Some(BackEnd::Pair(path)) =
        settings().net.interfaces().get(number).map(|interface| &interface.back_end)
    {
        pair::give_up(path);
    }
}

/// Sets the network of a new kernel up, on the thread that booted it, which has a task.
pub fn set_up(kernel: &'static Kernel, thread: &'static Thread, begun: Begun) {
    attend();
    let done = try_to_set_up(kernel, thread, begun).map_err(|why| match settings().net {
        Net::None => format!("no network for what servers have: {why}"),
        _ => format!("net={}: {why}", settings().net),
    });
    if let Err(why) = done.and_then(|mtus| personality::set_up(kernel, thread, &mtus)) {
        say!("{why}");
        HAS_FAILED.store(true, Ordering::Relaxed);
    }
}

/// The longest packets of the interfaces to the outside.
fn try_to_set_up(
    kernel: &'static Kernel,
    thread: &'static Thread,
    begun: Begun,
) -> core::result::Result<Vec<u32>, String> {
    if !settings().has_network() {
        return Ok(Vec::new());
    }
    loopback_up(kernel, thread)
        .map_err(|e| format!("the loopback device does not come up: {}", Explained(e)))?;
    for (name, value) in &settings().sysctl {
        set_sysctl(kernel, thread, name, value)
            .map_err(|e| format!("sysctl {name}={value}: {}", Explained(e)))?;
    }
    let (all, captures) = begun.0?;
    let mtus = all.iter().map(|opened| opened.interface.mtu).collect();
    add_interfaces(kernel, thread, all, captures).map(|()| mtus)
}

/// What comes together while interfaces are added.
struct Adding {
    /// Programs of the host that are still on their way.
    helpers: Vec<user::Helper>,
    /// What servers of DHCP name.
    resolvers: Vec<IpAddr>,
    /// There is a default route of IPv4, or will be: the first one counts.
    has_route: bool,
    captures: Captures,
}

fn add_interfaces(
    kernel: &'static Kernel,
    thread: &'static Thread,
    all: Vec<Opened>,
    captures: Captures,
) -> core::result::Result<(), String> {
    let has_route = all.iter().flat_map(|opened| &opened.gateways).any(IpAddr::is_ipv4);
    let mut adding = Adding { helpers: Vec::new(), resolvers: Vec::new(), has_route, captures };
    for ((number, opened), asked) in all.into_iter().enumerate().zip(settings().interfaces()) {
        adding.add(kernel, thread, number, opened, asked).map_err(|why| of(number, why))?;
    }
    // MAXNS of resolv.conf(5): libc looks at no more.
    adding.resolvers.truncate(3);
    leave_resolvers(kernel, &adding.resolvers);
    adding.helpers.into_iter().try_for_each(user::Helper::wait)?;
    IS_UP.store(true, Ordering::Release);
    for (number, why) in EARLY.iter().enumerate() {
        why.get().into_iter().for_each(|&why| report(number, why));
    }
    Ok(())
}

impl Adding {
    fn add(
        &mut self,
        kernel: &'static Kernel,
        thread: &'static Thread,
        number: usize,
        opened: Opened,
        asked: &Interface,
    ) -> core::result::Result<(), String> {
        let Opened { fd, interface, addresses, gateways, helper } = opened;
        let added = add(kernel, thread, fd, self.captures.take(number), &interface);
        let index = added.map_err(|e| format!("the kernel takes no interface: {}", Explained(e)))?;
        let mut call = |nr: i64, args: &[usize; 6]| call(kernel, thread, nr, args);
        configure::configure(&mut call, index, &addresses, &gateways)?;
        self.helpers.extend(helper);
        let (true, Some(mac)) = (asked.dhcp, interface.mac) else { return Ok(()) };
        let lease = dhcp::lease(&mut call, format!("eth{number}").as_bytes(), mac)?;
        let gateway = lease.gateway.filter(|_| !self.has_route);
        self.has_route |= gateway.is_some();
        let (address, gateways) = ((IpAddr::V4(lease.address), lease.bits), Vec::from_iter(gateway));
        configure::configure_for(&mut call, index, &[address], &gateways, lease.seconds)?;
        self.resolvers.extend(lease.resolvers);
        Ok(())
    }
}

/// Whether somebody listens to TCP there, as the kernel sees the network. ETIMEDOUT: nobody answers. Inside a section.
pub fn connects(kernel: &'static Kernel, thread: &'static Thread, to: SocketAddr) -> Result<()> {
    const PATIENCE_US: u64 = 10_000_000;
    let mut call = |nr: i64, args: &[usize; 6]| call(kernel, thread, nr, args);
    let mut socket = Inet::open(&mut call, to.ip(), libc::SOCK_STREAM)?;
    socket.set_time(libc::SO_SNDTIMEO, PATIENCE_US)?;
    match socket.connect(to) {
        Err(Errno::EINPROGRESS) => Err(Errno::ETIMEDOUT),
        done => done.map(drop),
    }
}

/// A file in memory that names resolvers, as resolv.conf(5) has it.
pub fn resolv_conf(resolvers: &[IpAddr]) -> Result<OwnedFd> {
    let file = fs::memory_file(c"resolv.conf")?;
    fs::write_all(file.raw(), text_of_resolvers(resolvers, &[]).as_bytes());
    Ok(file)
}

fn text_of_resolvers(resolvers: &[IpAddr], search: &[String]) -> String {
    let mut text: String = resolvers.iter().map(|address| format!("nameserver {address}\n")).collect();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    text
}

/// What a server said of resolvers is for all processes (`lookup::resolver`).
fn leave_resolvers(kernel: &Kernel, resolvers: &[IpAddr]) {
    if resolvers.is_empty() {
        return;
    }
    let left = resolv_conf(resolvers).and_then(|file| kernel.leave_network_file(file.raw()));
    if let Err(e) = left {
        say!("net: the resolvers that DHCP names are not known to programs: {}", Explained(e));
    }
}

/// Until then, who sets the network up says what is wrong.
static IS_UP: AtomicBool = AtomicBool::new(false);
/// What would have been said, of each interface.
static EARLY: [OnceLock<LinkEvent>; MOST_INTERFACES] = [const { OnceLock::new() }; MOST_INTERFACES];

/// Says what happens to an interface.
fn report(number: usize, event: LinkEvent) {
    if !IS_UP.load(Ordering::Acquire) {
        let _ = EARLY[number % MOST_INTERFACES].set(event);
        return;
    }
    match event {
        LinkEvent::Over(why) => say!("net: the back end of eth{number} {why}"),
        LinkEvent::Down(why) => {
            say!("net: the back end of eth{number} {why}; the link is down until it comes back")
        }
        LinkEvent::Up => say!("net: the link of eth{number} is up again"),
        LinkEvent::NotCaptured(e) => {
            say!("net: the frames of eth{number} are not written to its file any more: {}", Explained(e))
        }
    }
}

#[allow(unsafe_code)]
fn call(kernel: &'static Kernel, thread: &'static Thread, nr: i64, args: &[usize; 6]) -> Result {
    // SAFETY: the thread has a task; callers' arguments are live.
    from_raw(unsafe { kernel.call(thread.task(), nr, args, -1) })
}

#[allow(unsafe_code)]
fn add(
    kernel: &'static Kernel,
    thread: &'static Thread,
    fd: OwnedFd,
    capture: Option<(OwnedFd, u32)>,
    interface: &lkl::Interface,
) -> Result<u32> {
    // SAFETY: the thread has a task.
    unsafe { kernel.add_interface(thread.task(), fd, capture, interface) }
}

#[allow(unsafe_code)]
fn loopback_up(kernel: &'static Kernel, thread: &'static Thread) -> Result<()> {
    // SAFETY: the thread has a task.
    unsafe { kernel.loopback_up(thread.task()) }
}

#[allow(unsafe_code)]
fn set_sysctl(kernel: &'static Kernel, thread: &'static Thread, name: &str, value: &str) -> Result<()> {
    // As sysctl(8): a name with slashes is taken as it is.
    let path = if name.contains('/') { name.to_string() } else { name.replace('.', "/") };
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the thread has a task.
    unsafe { kernel.set_sysctl(thread.task(), &path, value.as_bytes()) }
}
