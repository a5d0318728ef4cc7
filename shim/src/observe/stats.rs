// SPDX-License-Identifier: GPL-2.0-only
//! Calls counted by number, door and route: a table at the process's end.

use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use trampoline::seen::INT80;

use crate::instance::{boot, kick};
use crate::observe::{Door, Route};
use crate::sys::host;
use crate::syscalls::table;

const DOORS: usize = 4;
const ROUTES: usize = 3;
/// One more for numbers that are none, and one for 32-bit calls, whose numbers are other calls'.
const NUMBERS: usize = 514;
const OTHER: usize = NUMBERS - 2;
const OLD: usize = NUMBERS - 1;
/// Room for the table: a line for each number that could be.
const ROOM: usize = NUMBERS * 112 + 1024;

type Counts = [[AtomicU64; ROUTES]; DOORS];
static COUNTS: [Counts; NUMBERS] =
    [const { [const { [const { AtomicU64::new(0) }; ROUTES] }; DOORS] }; NUMBERS];

pub fn count(nr: usize, door: Door, route: Route) {
    add(nr.min(OTHER), door, route, 1);
}

fn add(row: usize, door: Door, route: Route, n: u64) {
    COUNTS[row][door as usize][route as usize].fetch_add(n, Ordering::Relaxed);
}

pub fn forget() {
    INT80.store(0, Ordering::Relaxed);
    COUNTS.iter().flatten().flatten().for_each(|count| count.store(0, Ordering::Relaxed));
}

/// One line: by door, then by route.
#[derive(Clone, Copy)]
struct Sums {
    doors: [u64; DOORS],
    routes: [u64; ROUTES],
}

impl Sums {
    const NONE: Sums = Sums { doors: [0; DOORS], routes: [0; ROUTES] };

    fn add(&mut self, door: usize, route: usize, n: u64) {
        self.doors[door] += n;
        self.routes[route] += n;
    }

    fn total(&self) -> u64 {
        self.routes.iter().sum()
    }
}

/// A mapping that is written into.
struct Page {
    address: usize,
    len: usize,
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let n = text.len().min(ROOM - self.len);
        // It was mapped for this.
        let _ = crate::sys::user::write_bytes(self.address + self.len, &text.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Prints what was counted since the last time, with one write: processes share the file.
pub fn print(fd: i32) {
    let address = host::map(ROOM + NUMBERS * size_of::<Sums>());
    if address < 0 {
        return;
    }
    let mut page = Page { address: address as usize, len: 0 };
    if table(&mut page) {
        let args = [fd as usize, page.address, page.len];
        let n = host::call(libc::SYS_write, &args);
        if n > 0 && (n as usize) < page.len {
            host::call(libc::SYS_write, &[fd as usize, page.address + n as usize, page.len - n as usize]);
        }
    }
    host::unmap(address as usize, ROOM + NUMBERS * size_of::<Sums>());
}

/// False: nothing was counted.
fn table(page: &mut Page) -> bool {
    add(OLD, Door::Int80, Route::Host, INT80.swap(0, Ordering::Relaxed) as u64);
    // What other threads count while this runs is not printed twice.
    let mut all = Sums::NONE;
    let rows = page.address + ROOM;
    let at = |nr: usize| rows + nr * size_of::<Sums>();
    for (nr, doors) in COUNTS.iter().enumerate() {
        let mut sums = Sums::NONE;
        for (door, routes) in doors.iter().enumerate() {
            for (route, count) in routes.iter().enumerate() {
                let n = count.swap(0, Ordering::Relaxed);
                sums.add(door, route, n);
                all.add(door, route, n);
            }
        }
        let _ = crate::sys::user::write(at(nr), &sums);
    }
    if all.total() == 0 {
        return false;
    }
    let row = |nr: usize| crate::sys::user::read::<Sums>(at(nr)).unwrap_or(Sums::NONE);
    head(page, &all);
    // Most calls first.
    let mut before = (u64::MAX, 0);
    loop {
        let next = (0..NUMBERS)
            .map(|nr| (row(nr).total(), NUMBERS - nr))
            .filter(|&key| key.0 != 0 && key < before)
            .max();
        let Some(key) = next else { break };
        before = key;
        let nr = NUMBERS - key.1;
        let name = match nr {
            OTHER => "(no such number)",
            OLD => "(int 0x80)",
            _ => table::name(nr),
        };
        line(page, &row(nr), name);
    }
    line(page, &all, "total");
    doorbell(page);
    true
}

/// How events came to the kernel, if one runs.
fn doorbell(page: &mut Page) {
    let Some(kernel) = boot::running() else { return };
    let _ = write!(page, "stowaway: doorbell {}:", kick::name());
    for (index, (what, name)) in lkl::Count::ALL.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(page, "{comma} {} {name}", kernel.counted(what));
    }
    let _ = writeln!(page, ", {} diverted", trampoline::divert::counts().0);
}

fn head(page: &mut Page, all: &Sums) {
    let mut name = [0u8; 16];
    host::call(libc::SYS_prctl, &[libc::PR_GET_NAME as usize, name.as_mut_ptr() as usize, 0, 0, 0]);
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let name = core::str::from_utf8(&name[..end]).unwrap_or("?");
    let _ = writeln!(page, "stowaway: process {} ({name}): {} calls", host::ids().0, all.total());
    let _ = writeln!(
        page,
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  call",
        "calls", "hook", "patched", "sigsys", "int80", "host", "kernel", "own"
    );
}

fn line(page: &mut Page, sums: &Sums, name: &str) {
    let (d, r) = (&sums.doors, &sums.routes);
    let _ = writeln!(
        page,
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  {name}",
        sums.total(),
        d[0],
        d[1],
        d[2],
        d[3],
        r[0],
        r[1],
        r[2]
    );
}
