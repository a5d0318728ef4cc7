// SPDX-License-Identifier: GPL-2.0-only
//! AF_UNIX names in mounts. The socket is the host's; its file is made on the image, where permissions, rename and unlink
//! are the image's. Behind each such file stands a name on the host, in a directory that only this user may search. The name
//! is found by the image and the number of the file, so that the file may be renamed. A symlink beside it has the program's
//! own name for the socket, which getsockname and its kin tell, also when the file is no more.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use crate::calls::unix_room::{Key, Room};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::lookup::route::{self, Located, PathArg};
use crate::lookup::target::FinalComponent;
use crate::process::exit;
use crate::sys::call::{self, args, Call};
use crate::sys::confinement::is_confined;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs;
use crate::sys::settings::settings;
use crate::sys::sockaddr::UnixAddress;
use crate::sys::user;

/// A name in a mount was bound or used by this process: addresses that the host tells may be ours.
static USED: AtomicBool = AtomicBool::new(false);

/// Whether a file that is removed may be a socket of ours.
pub fn is_used() -> bool {
    USED.load(Ordering::Relaxed)
}

/// The name in an address of the application; None: the host knows what to do with the address.
fn name(address: usize, len: usize) -> Option<UnixAddress> {
    if settings().mounts.is_empty() || address == 0 {
        return None;
    }
    UnixAddress::read(address, len).filter(UnixAddress::has_path)
}

/// The file at a path of a mount, as fstat says.
fn status(context: &mut KernelContext, located: &Located, flags: i32) -> Result<libc::stat> {
    let at = located.in_kernel(context)?;
    fs::filled_stat(|to| context.call(libc::SYS_newfstatat, &args([at.dirfd, at.path, to, flags as usize])))
}

/// bind(2)
pub fn bind(c: &Call<'_>) -> Result {
    let Some(name) = name(c.args[1], c.args[2]).filter(|_| is_unix(c.args[0])) else { return c.to_host() };
    let located = route::locate(PathArg::plain(name.path(), FinalComponent::Parent))?;
    if let Some(found) = located.on_host() {
        return with_address(c, [1, 2], &name.moved_to(found.path)?);
    }
    let room = Room::open()?;
    before_bind(&room);
    let file = make_file(&located)?;
    let key = Key::new(&located, &file);
    USED.store(true, Ordering::Relaxed);
    let bound = room.reserve(&key, &name).and_then(|place| {
        let bound = place.address().and_then(|address| with_address(c, [1, 2], &address));
        if bound.is_err() {
            place.remove();
        }
        bound
    });
    if bound.is_err() {
        room.forget(&key);
        let _ = enter_kernel(|context| {
            let at = located.in_kernel(context)?;
            context.call(libc::SYS_unlinkat, &args([at.dirfd, at.path]))
        });
    }
    bound.inspect(|_| note_bound(c.args[0] as i32))
}

/// How often this process bound a name.
static BINDS: AtomicUsize = AtomicUsize::new(0);
/// The descriptors of the last sockets that were bound, and 1: their names go when the process ends.
static BOUND: [AtomicI32; 64] = [const { AtomicI32::new(0) }; 64];

/// Names that programs before this one left are removed once. So are, now and then, this process's own: it may bind and close
/// for as long as it lives.
fn before_bind(room: &Room) {
    const SWEEP_EVERY: usize = 256;
    let before = BINDS.fetch_add(1, Ordering::Relaxed);
    if before % SWEEP_EVERY == 0 {
        exit::last_of_all(at_end);
        room.sweep(before != 0);
    }
}

fn note_bound(fd: i32) {
    let at = BINDS.load(Ordering::Relaxed) % BOUND.len();
    BOUND[at].store(fd + 1, Ordering::Relaxed);
}

/// The process ends: the names of its sockets go, unless another process has the socket too.
fn at_end() {
    if is_confined() {
        return;
    }
    for fd in BOUND.iter().map(|fd| fd.load(Ordering::Relaxed) - 1).filter(|&fd| fd >= 0) {
        let mut name = UnixAddress::empty();
        let (address, len) = name.room();
        let told = call::host(libc::SYS_getsockname, &args([fd as usize, address, len]));
        // It is open until the very end otherwise, and would not be seen to be nobody's.
        if told.is_ok() && name.path_bytes().is_some_and(|path| Room::name_behind(path).is_some()) {
            fs::close(fd);
        }
    }
    if let Ok(room) = Room::open() {
        room.sweep(true);
    }
}

/// Makes the socket's file on the image, as net/unix/af_unix.c (unix_bind_bsd) makes it.
fn make_file(located: &Located) -> Result<libc::stat> {
    let mut file = None;
    enter_kernel(|context| {
        let at = located.in_kernel(context)?;
        if at.is_mount_root {
            return Err(Errno::EADDRINUSE);
        }
        let mode = (libc::S_IFSOCK | 0o777) as usize;
        context.call(libc::SYS_mknodat, &args([at.dirfd, at.path, mode])).map_err(in_use)?;
        file = Some(status(context, located, libc::AT_SYMLINK_NOFOLLOW)?);
        Ok(0)
    })?;
    file.ok_or(Errno::EIO)
}

fn in_use(e: Errno) -> Errno {
    match e {
        Errno::EEXIST => Errno::EADDRINUSE,
        e => e,
    }
}

/// Whether the descriptor is a socket of this family: others say what is wrong with the address.
fn is_unix(fd: usize) -> bool {
    let (mut domain, mut size) = (0i32, size_of::<i32>() as u32);
    let option = [libc::SOL_SOCKET as usize, libc::SO_DOMAIN as usize];
    let to = [&raw mut domain as usize, &raw mut size as usize];
    call::host(libc::SYS_getsockopt, &args([fd, option[0], option[1], to[0], to[1]])).is_ok()
        && domain == libc::AF_UNIX
}

/// The call with another address in these arguments.
fn with_address(c: &Call<'_>, [address, len]: [usize; 2], other: &UnixAddress) -> Result {
    let mut args = c.args;
    (args[address], args[len]) = (other.address(), other.len());
    c.to_host_with(&args)
}

/// Where a socket is that the application names.
enum Peer {
    /// Where the application says.
    AsGiven,
    /// On the host, by another name.
    Host(UnixAddress),
    /// Behind a file of a mount.
    Mount(UnixAddress),
}

/// Finds the socket behind a name (net/unix/af_unix.c, unix_find_bsd).
fn find(address: usize, len: usize) -> Result<Peer> {
    let Some(name) = name(address, len) else { return Ok(Peer::AsGiven) };
    let located = route::locate(PathArg::plain(name.path(), FinalComponent::Follow))?;
    if let Some(found) = located.on_host() {
        return Ok(if found.path == name.path() {
            Peer::AsGiven
        } else {
            Peer::Host(name.moved_to(found.path)?)
        });
    }
    let mut file = None;
    enter_kernel(|context| {
        let at = located.in_kernel(context)?;
        let write = [libc::W_OK as usize, libc::AT_EACCESS as usize];
        context.call(libc::SYS_faccessat2, &args([at.dirfd, at.path, write[0], write[1]]))?;
        file = Some(status(context, &located, 0)?);
        Ok(0)
    })?;
    let file =
        file.filter(|file| file.st_mode & libc::S_IFMT == libc::S_IFSOCK).ok_or(Errno::ECONNREFUSED)?;
    USED.store(true, Ordering::Relaxed);
    let path = Room::open()?.path(&Key::new(&located, &file));
    Ok(Peer::Mount(UnixAddress::of_path(path.as_bytes())?))
}

/// A call that names a peer: connect(2) and sendto(2), with the address in these arguments.
pub fn to_peer(c: &Call<'_>, at: [usize; 2]) -> Result {
    match find(c.args[at[0]], c.args[at[1]])? {
        Peer::AsGiven => c.to_host(),
        Peer::Host(address) => with_address(c, at, &address),
        Peer::Mount(address) => with_address(c, at, &address).map_err(nobody_there),
    }
}

/// A file whose socket is closed, or was another kernel's.
fn nobody_there(e: Errno) -> Errno {
    match e {
        Errno::ENOENT => Errno::ECONNREFUSED,
        e => e,
    }
}

/// sendmsg(2) on a socket of the host.
pub fn send_message(c: &Call<'_>) -> Result {
    let Ok(mut message) = user::read::<libc::msghdr>(c.args[1]) else { return c.to_host() };
    let (other, is_mount) = match find(message.msg_name as usize, message.msg_namelen as usize)? {
        Peer::AsGiven => return c.to_host(),
        Peer::Host(address) => (address, false),
        Peer::Mount(address) => (address, true),
    };
    (message.msg_name, message.msg_namelen) = (other.address() as *mut _, other.len() as u32);
    let r = c.to_host_with(&args([c.args[0], &raw const message as usize, c.args[2]]));
    if is_mount {
        r.map_err(nobody_there)
    } else {
        r
    }
}

/// `struct mmsghdr`: its size, and where the length is that was sent or received.
const MESSAGE: usize = 64;
const MESSAGE_LEN: usize = size_of::<libc::msghdr>();

/// The addresses of the messages of sendmmsg(2) and recvmmsg(2).
pub fn messages(c: &Call<'_>) -> impl Iterator<Item = usize> {
    const MOST: usize = 1024;
    let first = c.args[1];
    (0..(c.args[2] as u32 as usize).min(MOST)).map(move |i| first.wrapping_add(i * MESSAGE))
}

/// Whether `what` holds for any of them.
pub fn any_message(c: &Call<'_>, what: impl Fn(usize) -> bool) -> bool {
    // All are looked at: looking notes what is passed.
    messages(c).fold(false, |any, at| what(at) | any)
}

/// sendmmsg(2) on a socket of the host: one by one, if any message names a path.
pub fn send_messages(c: &Call<'_>) -> Result {
    let names_path = |at| {
        user::read::<libc::msghdr>(at)
            .is_ok_and(|message| name(message.msg_name as usize, message.msg_namelen as usize).is_some())
    };
    if settings().mounts.is_empty() || !messages(c).any(names_path) {
        return c.to_host();
    }
    one_by_one(c, send_message)
}

/// sendmmsg(2) as so many calls of sendmsg(2).
pub fn one_by_one(c: &Call<'_>, send: impl Fn(&Call<'_>) -> Result) -> Result {
    let [fd, _, _, flags, ..] = c.args;
    let mut done = 0;
    for at in messages(c) {
        let one = Call { nr: libc::SYS_sendmsg as usize, args: args([fd, at, flags]), frame: c.frame };
        match send(&one).and_then(|sent| user::write(at + MESSAGE_LEN, &(sent as u32))) {
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
            Ok(()) => done += 1,
        }
    }
    Ok(done)
}

/// Whether an address that the host tells may be one of ours: this process, or who handed a socket on to it, has mounts.
fn may_be_told() -> bool {
    !settings().mounts.is_empty()
}

/// A call that tells an address in these two arguments: getsockname(2), getpeername(2), accept(2), recvfrom(2).
pub fn tell(c: &Call<'_>, [address, len]: [usize; 2]) -> Result {
    if !may_be_told() || c.args[address] == 0 {
        return c.to_host();
    }
    // What is wrong beside that the host says first.
    let Some(room) = user::read::<u32>(c.args[len]).ok().filter(|&room| room <= i32::MAX as u32) else {
        return c.to_host();
    };
    let mut told = UnixAddress::empty();
    let mut all = c.args;
    (all[address], all[len]) = told.room();
    let r = c.to_host_with(&all)?;
    let written =
        write_shown(&mut told, c.args[address], room as usize).and_then(|n| user::write(c.args[len], &n));
    if written.is_err() && matches!(c.nr as i64, libc::SYS_accept | libc::SYS_accept4) {
        fs::close(r as i32);
    }
    written.map(|()| r)
}

/// Writes the address that the host told as the program knows it; its length.
fn write_shown(told: &mut UnixAddress, to: usize, room: usize) -> Result<u32> {
    if let Some(name) = told.path_bytes().and_then(Room::name_behind) {
        *told = name;
    }
    user::write_bytes(to, &told.bytes()[..told.len().min(room)])?;
    Ok(told.len() as u32)
}

/// recvmsg(2) on a socket of the host.
pub fn receive_message(c: &Call<'_>) -> Result {
    let Ok(given) = user::read::<libc::msghdr>(c.args[1]) else { return c.to_host() };
    if !may_be_told() || given.msg_name.is_null() || given.msg_namelen > i32::MAX as u32 {
        return c.to_host();
    }
    let mut told = UnixAddress::empty();
    let mut own = given;
    let (address, _) = told.room();
    (own.msg_name, own.msg_namelen) = (address as *mut _, told.len() as u32);
    let r = c.to_host_with(&args([c.args[0], &raw const own as usize, c.args[2]]))?;
    told.set_len(own.msg_namelen);
    own.msg_namelen = match own.msg_namelen {
        0 => 0,
        _ => write_shown(&mut told, given.msg_name as usize, given.msg_namelen as usize)?,
    };
    own.msg_name = given.msg_name;
    user::write(c.args[1], &own)?;
    Ok(r)
}

/// recvmmsg(2) on a socket of the host: the addresses are put right afterwards.
pub fn receive_messages(c: &Call<'_>) -> Result {
    let rooms = |i: usize| user::read::<libc::msghdr>(c.args[1] + i * MESSAGE);
    const MOST: usize = 64;
    let mut given = [0u32; MOST];
    if may_be_told() {
        for (i, room) in given.iter_mut().enumerate().take(c.args[2] as u32 as usize) {
            *room = rooms(i).map_or(0, |message| message.msg_namelen);
        }
    }
    // What is not seen beforehand is left for the next call.
    let mut own = c.args;
    own[2] = own[2].min(if may_be_told() { MOST } else { usize::MAX });
    let received = c.to_host_with(&own)?;
    for (i, &room) in given.iter().enumerate().take(received) {
        let message = rooms(i)?;
        let told = UnixAddress::read(message.msg_name as usize, message.msg_namelen.min(room) as usize);
        if let Some(mut told) = told.filter(UnixAddress::has_path).filter(|_| room != 0) {
            let len = write_shown(&mut told, message.msg_name as usize, room as usize)?;
            user::write(c.args[1] + i * MESSAGE, &libc::msghdr { msg_namelen: len, ..message })?;
        }
    }
    Ok(received)
}

/// The socket at a path that is about to be removed.
pub fn before_removal(dirfd: usize, path: usize) -> Option<Key> {
    let located = route::locate(PathArg::new(dirfd, path, FinalComponent::Parent)).ok()?;
    if located.on_host().is_some() {
        return None;
    }
    let mut file = None;
    let _ = enter_kernel(|context| {
        file = Some(status(context, &located, libc::AT_SYMLINK_NOFOLLOW)?);
        Ok(0)
    });
    let file = file.filter(|file| file.st_mode & libc::S_IFMT == libc::S_IFSOCK && file.st_nlink == 1)?;
    Some(Key::new(&located, &file))
}

/// The file of the socket was removed.
pub fn removed(key: &Key) {
    if let Ok(room) = Room::open() {
        room.forget(key);
    }
}
