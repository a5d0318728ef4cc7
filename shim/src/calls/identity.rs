// SPDX-License-Identifier: GPL-2.0-only
//! Who the program is (credentials(7), capabilities(7)): the host says so, or the setting `as` (`sys::told`). Calls that
//! change it change what the program is told, and the kernel library follows; the host is not asked.

use crate::calls::process::{become_another, follow};
use crate::sys::call::Call;
use crate::sys::credentials::Credentials;
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;
use crate::sys::told::{self, Kind, Sets, Told, EFFECTIVE, GROUPS_MAX, REAL};
use crate::sys::{host, kernel, user};

fn ask(c: &Call<'_>, answer: impl FnOnce(&Told) -> Result) -> Result {
    told::now().map_or_else(|| c.to_host(), |told| answer(&told))
}

/// getuid(2)
pub fn getuid(c: &Call<'_>) -> Result {
    ask(c, |told| Ok(told.uid[REAL] as usize))
}

/// geteuid(2)
pub fn geteuid(c: &Call<'_>) -> Result {
    ask(c, |told| Ok(told.uid[EFFECTIVE] as usize))
}

/// getgid(2)
pub fn getgid(c: &Call<'_>) -> Result {
    ask(c, |told| Ok(told.gid[REAL] as usize))
}

/// getegid(2)
pub fn getegid(c: &Call<'_>) -> Result {
    ask(c, |told| Ok(told.gid[EFFECTIVE] as usize))
}

/// getresuid(2)
pub fn getresuid(c: &Call<'_>) -> Result {
    ask(c, |told| write_three(c, &told.uid))
}

/// getresgid(2)
pub fn getresgid(c: &Call<'_>) -> Result {
    ask(c, |told| write_three(c, &told.gid))
}

fn write_three(c: &Call<'_>, ids: &[u32; 4]) -> Result {
    for (id, &to) in ids.iter().zip(&c.args[..3]) {
        user::write(to, id)?;
    }
    Ok(0)
}

/// getgroups(2)
pub fn getgroups(c: &Call<'_>) -> Result {
    ask(c, |told| {
        let (room, groups) = (c.args[0] as i32, told.groups());
        if room < 0 || room != 0 && (room as usize) < groups.len() {
            return Err(Errno::EINVAL);
        }
        for (at, group) in groups.iter().enumerate().take(room as usize) {
            user::write(c.args[1] + at * size_of::<u32>(), group)?;
        }
        Ok(groups.len())
    })
}

/// Makes a change of what the program is told; the host is asked where the host says who the program is.
fn change(c: &Call<'_>, change: impl FnOnce(&mut Told) -> Result) -> Result {
    let Some(before) = told::now() else { return become_another(c) };
    let mut told = before.clone();
    let r = change(&mut told)?;
    if told != before {
        told::become_one(told)?;
        if kernel::is_up() {
            follow(&Credentials::now()?);
        }
    }
    Ok(r)
}

fn id(c: &Call<'_>, at: usize) -> u32 {
    c.args[at] as u32
}

/// setuid(2)
pub fn setuid(c: &Call<'_>) -> Result {
    change(c, |told| told.set(Kind::User, id(c, 0)).map(|()| 0))
}

/// setgid(2)
pub fn setgid(c: &Call<'_>) -> Result {
    change(c, |told| told.set(Kind::Group, id(c, 0)).map(|()| 0))
}

/// setreuid(2)
pub fn setreuid(c: &Call<'_>) -> Result {
    change(c, |told| told.set_two(Kind::User, id(c, 0), id(c, 1)).map(|()| 0))
}

/// setregid(2)
pub fn setregid(c: &Call<'_>) -> Result {
    change(c, |told| told.set_two(Kind::Group, id(c, 0), id(c, 1)).map(|()| 0))
}

/// setresuid(2)
pub fn setresuid(c: &Call<'_>) -> Result {
    change(c, |told| told.set_three(Kind::User, [id(c, 0), id(c, 1), id(c, 2)]).map(|()| 0))
}

/// setresgid(2)
pub fn setresgid(c: &Call<'_>) -> Result {
    change(c, |told| told.set_three(Kind::Group, [id(c, 0), id(c, 1), id(c, 2)]).map(|()| 0))
}

/// setfsuid(2)
pub fn setfsuid(c: &Call<'_>) -> Result {
    change(c, |told| Ok(told.set_for_files(Kind::User, id(c, 0)) as usize))
}

/// setfsgid(2)
pub fn setfsgid(c: &Call<'_>) -> Result {
    change(c, |told| Ok(told.set_for_files(Kind::Group, id(c, 0)) as usize))
}

/// setgroups(2)
pub fn setgroups(c: &Call<'_>) -> Result {
    change(c, |told| {
        let count = c.args[0] as i32 as usize;
        told.may_set_groups(count).inspect_err(|&e| {
            if e == Errno::ENOMEM {
                say_once!("setgroups: more than {GROUPS_MAX} groups are not kept here (ENOMEM)");
            }
        })?;
        let mut groups = [0u32; GROUPS_MAX];
        for (at, group) in groups.iter_mut().enumerate().take(count) {
            *group = user::read(c.args[1] + at * size_of::<u32>())?;
        }
        told.set_groups(&groups[..count]).map(|()| 0)
    })
}

/// Versions of the sets' layout (capget(2)), and how many words a set has in each.
const VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];

/// `cap_user_header_t`: the words of a set, and whose the sets are. EINVAL: no such version, and the preferred one is written.
fn header(address: usize) -> Result<(usize, i32)> {
    let version: u32 = user::read(address)?;
    match VERSIONS.iter().find(|row| row.0 == version) {
        Some(&(_, words)) => Ok((words, user::read(address + size_of::<u32>())?)),
        None => {
            user::write(address, &VERSIONS[2].0)?;
            Err(Errno::EINVAL)
        }
    }
}

fn is_caller(pid: i32) -> bool {
    pid == 0 || pid as usize == host::ids().1
}

/// capget(2). Of other threads and processes the host knows what it told them.
pub fn capget(c: &Call<'_>) -> Result {
    ask(c, |told| {
        let (words, pid) = match header(c.args[0]) {
            Err(Errno::EINVAL) if c.args[1] == 0 => return Ok(0),
            found => found?,
        };
        if c.args[1] == 0 {
            return Ok(0);
        }
        if !is_caller(pid) {
            return c.to_host();
        }
        let Sets { effective, permitted, inheritable } = told.sets();
        for word in 0..words {
            let part = [effective, permitted, inheritable].map(|set| (set >> (32 * word)) as u32);
            user::write(c.args[1] + word * size_of_val(&part), &part)?;
        }
        Ok(0)
    })
}

/// capset(2)
pub fn capset(c: &Call<'_>) -> Result {
    change(c, |told| {
        let (words, pid) = header(c.args[0])?;
        if !is_caller(pid) {
            return Err(Errno::EPERM);
        }
        let mut sets = [0u64; 3];
        for word in 0..words {
            let part = user::read::<[u32; 3]>(c.args[1] + word * 3 * size_of::<u32>())?;
            for (set, part) in sets.iter_mut().zip(part) {
                *set |= u64::from(part) << (32 * word);
            }
        }
        let [effective, permitted, inheritable] = sets;
        told.set_sets(Sets { effective, permitted, inheritable }).map(|()| 0)
    })
}

/// prctl(2), as far as it is about rights. None: it is about something else.
pub fn prctl(c: &Call<'_>) -> Option<Result> {
    let [option, a, b, d, e, _] = c.args;
    let done = |()| 0;
    Some(match option as i32 {
        libc::PR_GET_SECUREBITS => ask(c, |told| Ok(told.securebits as usize)),
        libc::PR_GET_KEEPCAPS => ask(c, |told| Ok(usize::from(told.keeps_capabilities()))),
        libc::PR_CAPBSET_READ => ask(c, |told| told.is_bounding(a)),
        libc::PR_SET_SECUREBITS => change(c, |told| told.set_securebits(a).map(done)),
        libc::PR_SET_KEEPCAPS => change(c, |told| told.set_keep_capabilities(a).map(done)),
        libc::PR_CAPBSET_DROP => change(c, |told| told.drop_bounding(a).map(done)),
        libc::PR_CAP_AMBIENT => change(c, |told| told.ambient([a, b, d, e])),
        _ => return None,
    })
}
