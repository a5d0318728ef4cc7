// SPDX-License-Identifier: GPL-2.0-only
//! The command line and its help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(
    name = "stowaway",
    version,
    about = "A Linux kernel as a library, inside an unmodified program",
    after_help = "Examples:
  stowaway mkimage disk.img some-directory
  stowaway run --mount disk.img:/mnt/data -- ls -l /mnt/data
  stowaway doctor

Exit status: that of the program (run), 0 or 1 (doctor, mkimage), 2 for a wrong command line;
`stowaway run --help` has the rest.",
    subcommand_required = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a program with its own kernel: files under the mounted paths are the image's
    Run(RunOptions),
    /// Examine this machine, the library, and (if given) whether a program can be run
    Doctor(DoctorOptions),
    /// Make an image and fill it from a directory
    Mkimage(MkimageOptions),
    /// Write what gdb needs to name the functions of the kernel in a process
    Gdb(GdbOptions),
    /// Serve an image by the NBD protocol: one in QEMU's format qcow2, or any
    Serve(ServeOptions),
    /// Write man pages and shell completions, as `make install` wants them
    #[command(hide = true)]
    Pages(PagesOptions),
}

#[derive(Args)]
pub struct PagesOptions {
    /// Where PREFIX/share is
    pub directory: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  stowaway serve disk.qcow2 --socket /tmp/disk.nbd &
  STOWAWAY_MOUNT='nbd+unix:///?socket=/tmp/disk.nbd:/mnt/data' LD_PRELOAD=.../libstowaway.so ls /mnt/data

`stowaway run` needs none of this: it starts such a server by itself for a qcow2 image, and ends it.
One client at a time may have an image that is written; any number one served with --read-only. SIGTERM ends the
server: what is under way is done, and the image is closed. Exit status: 0; 1 if the image cannot be served or not all
of it was written.")]
pub struct ServeOptions {
    /// The image
    pub image: PathBuf,

    /// Listen on this unix socket
    #[arg(long, value_name = "PATH", required_unless_present = "owned")]
    pub socket: Option<PathBuf>,

    /// Never write to the image
    #[arg(long)]
    pub read_only: bool,

    /// What the image is
    #[arg(long, value_enum, default_value = "auto", value_name = "FORMAT")]
    pub format: Format,

    /// Started by `stowaway run`, which handed over descriptors
    #[arg(long, hide = true, conflicts_with = "socket")]
    pub owned: bool,
}

/// A format of images that `serve` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// qcow2 if it begins as such an image does
    Auto,
    Qcow2,
    Raw,
}

#[derive(Args)]
#[command(after_help = "Example:
  gdb -p PID -x stowaway-PID.gdb        after: stowaway gdb PID

Then a backtrace leads from a host call through the kernel and the library to the program. Exit status: 0 if the files
were written; 1 if not.")]
pub struct GdbOptions {
    /// A process in which a kernel runs
    pub pid: u32,

    /// Write FILES.gdb and FILES.elf [default: stowaway-PID]
    #[arg(short, long, value_name = "FILES")]
    pub output: Option<PathBuf>,

    /// The kernel's vmlinux of this very build, for lines and variables
    #[arg(long, value_name = "FILE")]
    pub vmlinux: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  stowaway run --mount disk.img:/mnt/data -- ls -l /mnt/data
  stowaway run --mount disk.img:/mnt/data:ro,type=ext4 -- cp -a /mnt/data/src ./out
  stowaway run --mount disk.img:/mnt,opts=noatime+data=journal -- python3 script.py
  stowaway run --mount none:/mnt/tmp,type=tmpfs -- python3 script.py
  stowaway run --trace=stderr,openat,memory -- ls
  stowaway run --stats=./counts.txt --mount disk.img:/mnt/data -- make -C /mnt/data
  stowaway run --net lo -- python3 program-with-server-and-clients.py

PATH need not exist. Every option can be a variable too (--mount is STOWAWAY_MOUNT, --kernel-log
is STOWAWAY_KERNEL_LOG; several mounts are separated by ; or newline), or a line of the file that
--config or STOWAWAY_CONFIG names:
  mount = [\"disk.img:/mnt/data\", \"other.img:/mnt/other:ro\"]
  mem = \"64M\"
  net = \"none\"
  log = \"warn\"
  kernel_log = \"off\"
  follow = \"yes\"
  stats = \"off\"
  trace = \"off\"
  block_engine = \"auto\"
  perf_map = \"no\"
  doorbell = \"auto\"

An option counts more than a variable, a variable more than the file.

Exit status: the program's; 125 if a setting is wrong (or with --preload the program cannot take the library);
126 if the program cannot be executed; 127 if it is not found.")]
pub struct RunOptions {
    /// Mount IMAGE on PATH: IMAGE[#N]:PATH[:ro][,type=T][,opts=A+B]
    ///
    /// May be given more than once. PATH is absolute and need not exist. type: ext2 ext3 ext4 xfs btrfs squashfs
    /// erofs vfat iso9660 (found by itself), or with IMAGE `none`: tmpfs proc sysfs devtmpfs. opts are those of
    /// mount(8), with + between them. #N is a partition of IMAGE. A backslash goes before a : , ; + # or \ that is
    /// part of a name.
    #[arg(long, value_name = "IMAGE[#N]:PATH[:ro][,type=T][,opts=A+B]")]
    pub mount: Vec<OsString>,

    /// The kernel's memory, 16M to 16G [default: 64M]
    #[arg(long, value_name = "SIZE")]
    pub mem: Option<OsString>,

    /// Whose sockets the kernel serves: none, or lo (internet sockets, over its own loopback) [default: none]
    #[arg(long, value_name = "none|lo")]
    pub net: Option<OsString>,

    /// Our own messages on stderr: off, error, warn, info, debug, trace [default: warn]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<OsString>,

    /// The kernel's messages: off, stderr, or a file to append to [default: off]
    #[arg(long, value_name = "off|stderr|FILE")]
    pub kernel_log: Option<OsString>,

    /// Leave the programs that PROGRAM starts alone
    #[arg(long)]
    pub no_follow: bool,

    /// Preload the library into PROGRAM instead of loading PROGRAM ourselves
    ///
    /// For dynamically linked programs only, and calls made before the library's constructor are missed. Debuggers see
    /// the program as they are used to.
    #[arg(long)]
    pub preload: bool,

    /// Count calls by door and by who served them; a table per process at its end
    ///
    /// To stderr, or to a file that is appended to. Calls come in by a libc name (hook), a rewritten call site (patched),
    /// a trap (sigsys) or int 0x80; they are served by the host, the kernel, or Stowaway itself (own).
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "stderr")]
    pub stats: Option<OsString>,

    /// Print calls as strace does, with who served them and how they came
    ///
    /// To stderr, or to a file that is appended to; after the first comma names of calls, or classes: file desc memory
    /// network process signal wait, and host kernel own (who served it). A call is printed when it returns.
    #[arg(
        long,
        value_name = "FILE[,NAME...]",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "stderr"
    )]
    pub trace: Option<OsString>,

    /// Who reads and writes image files: auto, inline (the calling thread), threads or io_uring [default: auto]
    #[arg(long, value_name = "auto|inline|threads|io_uring")]
    pub block_engine: Option<OsString>,

    /// Tell profilers the kernel's functions: write /tmp/perf-PID.map, which perf reads
    #[arg(long)]
    pub perf_map: bool,

    /// How a thread in the program's own code learns of events: auto, futex (it does not: whoever brings the event deals with
    /// it), signal, or uintr (user interrupts) [default: auto]
    #[arg(long, value_name = "auto|futex|signal|uintr")]
    pub doorbell: Option<OsString>,

    /// A file of settings (TOML; see below)
    #[arg(long, value_name = "FILE")]
    pub config: Option<OsString>,

    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM [ARGS]"
    )]
    pub program: Vec<OsString>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  stowaway doctor
  stowaway doctor /usr/bin/python3
  stowaway doctor --verbose ls

Exit status: 0 if everything needed to run is fine (and PROGRAM can be run); 1 if not.
What is missing only for building, testing or making images is a warning.")]
pub struct DoctorOptions {
    /// A program to examine: its path, or its name in PATH
    pub program: Option<OsString>,

    /// Write JSON: {\"ok\": BOOL, \"checks\": [{\"group\", \"name\", \"state\", \"detail\", \"advice\"}], \"modules\": [...]}
    #[arg(long)]
    pub json: bool,

    /// List every place where PROGRAM and its libraries make system calls, and how it is caught
    #[arg(long)]
    pub verbose: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  stowaway mkimage disk.img                      an empty ext4 image that you may write to
  stowaway mkimage disk.img my-directory         filled: owners, modes, times, links as they are
  stowaway mkimage --size 2G disk.img            (the file is sparse: it takes what it holds)
  stowaway mkimage --type squashfs docs.img docs read-only and compressed

xfs and vfat images are made empty; fill one with:
  stowaway run --mount disk.img:/mnt/data -- cp -a DIR/. /mnt/data/

Exit status: 0 if the image was made; 1 if not (then nothing is left of it); 2 for a wrong command line.")]
pub struct MkimageOptions {
    /// The file system
    #[arg(long = "type", value_enum, default_value = "ext4", value_name = "TYPE")]
    pub fstype: FsType,

    /// Its size (64M, 2G), or auto: room for DIR and half as much again [default: auto]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// Its label
    #[arg(long)]
    pub label: Option<String>,

    /// Replace IMAGE if it exists
    #[arg(long)]
    pub force: bool,

    /// The image to make
    pub image: PathBuf,

    /// What to fill it from
    pub dir: Option<PathBuf>,
}

/// A file system that `mkimage` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FsType {
    Ext4,
    Ext3,
    Ext2,
    Xfs,
    Btrfs,
    Squashfs,
    Erofs,
    Vfat,
    Iso9660,
}

impl FsType {
    /// The kernel's name of it.
    pub fn name(self) -> &'static str {
        match self {
            FsType::Ext4 => "ext4",
            FsType::Ext3 => "ext3",
            FsType::Ext2 => "ext2",
            FsType::Xfs => "xfs",
            FsType::Btrfs => "btrfs",
            FsType::Squashfs => "squashfs",
            FsType::Erofs => "erofs",
            FsType::Vfat => "vfat",
            FsType::Iso9660 => "iso9660",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_program_keeps_its_own_options() {
        for line in
            [&["stowaway", "run", "--", "ls", "-l", "--mem"][..], &["stowaway", "run", "ls", "-l", "--mem"]]
        {
            let Command::Run(options) = Cli::try_parse_from(line).unwrap().command else { panic!() };
            assert_eq!(options.program, ["ls", "-l", "--mem"]);
            assert!(options.mem.is_none());
        }
    }

    #[test]
    fn types_are_those_of_the_schema() {
        for fstype in FsType::value_variants() {
            assert!(stowaway_config::DISK_TYPES.contains(&fstype.name()));
        }
        assert_eq!(FsType::value_variants().len(), stowaway_config::DISK_TYPES.len());
    }
}
