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

Exit status: run ends with the status of the program; the other commands with 0, or with 1 if they failed.
2 means a wrong command line. `stowaway run --help` lists more.",
    subcommand_required = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a program with its own kernel: the files under the mounted paths come from images
    Run(Box<RunOptions>),
    /// Examine this machine, the library, and a program or an image if one is given
    Doctor(DoctorOptions),
    /// Make a disk image, empty or filled from a directory
    Mkimage(MkimageOptions),
    /// Write a file for gdb that names the functions of the kernel in a process
    Gdb(GdbOptions),
    /// Serve a disk image by the NBD protocol: qcow2, raw, packed, or what qemu-nbd reads
    Serve(ServeOptions),
    /// Be a network switch between programs that run with --net switch:PATH, and virtual machines
    Switch(SwitchOptions),
    /// List the kernels that run, and the processes that use each of them
    Ps(PsOptions),
    /// Print the log of a kernel that runs, as dmesg prints that of the host
    Log(LogOptions),
    /// Show live what the kernels that run do: calls, memory, disks, and which process has the CPU
    Top(TopOptions),
    /// Write the man pages and shell completions that `make install` installs
    #[command(hide = true)]
    Pages(PagesOptions),
    /// What `run --nft` starts before the program
    #[command(hide = true)]
    Rules(RulesOptions),
}

#[derive(Args)]
pub struct RulesOptions {
    /// The file of rules
    pub file: PathBuf,

    /// The program and its arguments
    #[arg(required = true, last = true)]
    pub program: Vec<OsString>,
}

#[derive(Args)]
#[command(after_help = "Example:
  stowaway switch lan.socket &
  stowaway run --net switch:lan.socket,ip=10.1.0.1/24 -- python3 server.py &
  stowaway run --net switch:lan.socket,ip=10.1.0.2/24 -- python3 client.py
  qemu-system-x86_64 -netdev stream,id=n,server=off,addr.type=unix,addr.path=lan.socket -device virtio-net,netdev=n ...

A member is whoever connects to the socket and speaks QEMU's protocol (-netdev stream). Who may do that is who may write to the
socket's file. SIGUSR1 makes the switch print a table of its members. SIGTERM, SIGINT and SIGHUP end it.

Exit status: 0; 1 if there can be no socket at PATH.")]
pub struct SwitchOptions {
    /// Where the socket is to be; one that nobody listens at any more is replaced
    #[arg(value_name = "PATH")]
    pub socket: PathBuf,

    /// Print a table of the members to standard error at the end, too
    #[arg(long)]
    pub stats: bool,

    /// Say who comes and who goes
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args)]
#[command(after_help = "Of other users' processes only root sees anything.

Exit status: 0; 1 if /proc cannot be read.")]
pub struct PsOptions {
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:
  stowaway log 12881
  stowaway log --follow work

The log is read from the memory of the kernel: it need not run for that, and its processes are not stopped. It holds about
32 KiB; the oldest lines go first. Of other users' kernels only root sees anything.

Exit status: 0; 1 if there is no such kernel, or if its memory cannot be read.")]
pub struct LogOptions {
    /// A process that uses the kernel, or the name of the instance
    #[arg(value_name = "PID|NAME")]
    pub who: String,

    /// Go on with what the kernel says from now on, until the instance ends
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  stowaway top
  stowaway top work
  stowaway top --once 12881 | grep memory

Keys: q ends it. c, s, t, p sort the processes by CPU, calls a second, calls, PID. Left and right change the instance, up and down
scroll. Calls are those that the kernel serves. CPU is the part of the time that a process had the kernel's only CPU; WAIT is how
many calls of it waited for that CPU. Nothing is stopped. Of other users' kernels only root sees anything.

Exit status: 0; 1 if there is no such kernel, or if it cannot be looked into; 128 and its number after a signal.")]
pub struct TopOptions {
    /// A process that uses the kernel, or the name of the instance; if missing: all
    #[arg(value_name = "PID|NAME")]
    pub who: Option<String>,

    /// Print once as plain text what happens in one turn, and end; as if standard output were no terminal
    #[arg(long)]
    pub once: bool,

    /// How long a turn is, 0.1 to 3600
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub delay: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or("allowed are numbers of seconds from 0.1 to 3600".into())
}

#[derive(Args)]
pub struct PagesOptions {
    /// The directory to write to, laid out as PREFIX/share
    pub directory: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Example:
  stowaway serve disk.qcow2 --socket /tmp/disk.nbd &
  STOWAWAY_MOUNT='nbd+unix:///?socket=/tmp/disk.nbd:/mnt/data' LD_PRELOAD=.../libstowaway.so ls /mnt/data

For an image that is no plain disk, `stowaway run` starts such a server by itself and ends it.
One client at a time may use an image that can be written. Any number of clients may use one served with --read-only.
SIGTERM ends the server: it finishes the requests under way and closes the image.

Exit status: 0; 1 if the image cannot be served, or if not all of it was written.")]
pub struct ServeOptions {
    /// The image
    pub image: PathBuf,

    /// Listen on this unix socket
    #[arg(long, value_name = "PATH", required_unless_present = "owned")]
    pub socket: Option<PathBuf>,

    /// Never write to the image
    #[arg(long)]
    pub read_only: bool,

    /// The format of the image
    #[arg(long, value_enum, default_value = "auto", value_name = "FORMAT")]
    pub format: Format,

    /// `stowaway run` started this server and handed over descriptors
    #[arg(long, hide = true, conflicts_with = "socket")]
    pub owned: bool,
}

/// A format of images that `serve` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As the image says itself: qcow2, packed with gzip, xz or zstd, what qemu-nbd reads, or raw
    Auto,
    Qcow2,
    Raw,
}

#[derive(Args)]
#[command(after_help = "Example:
  stowaway gdb PID
  gdb -iex 'set exec-file-mismatch off' PROGRAM -p PID -x stowaway-PID.gdb

The command prints the line for gdb. PROGRAM is the path of the program: gdb must know it before it attaches. A backtrace then leads from the host call through the kernel and the library to the program.

Exit status: 0 if the files were written; 1 if not.")]
pub struct GdbOptions {
    /// The process in which a kernel runs
    pub pid: u32,

    /// Name of the two files to write, FILES.gdb and FILES.elf [default: stowaway-PID]
    #[arg(short, long, value_name = "FILES")]
    pub output: Option<PathBuf>,

    /// The vmlinux of the same build of the kernel: if it has debug information, gdb knows lines and variables
    #[arg(long, value_name = "FILE")]
    pub vmlinux: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  stowaway run --mount disk.img:/mnt/data -- ls -l /mnt/data
  stowaway run --mount disk.img:/mnt/data:ro,type=ext4 -- cp -a /mnt/data/src ./out
  stowaway run --mount disk.img:/mnt,opts=noatime+data=journal -- python3 script.py
  stowaway run --mount none:/mnt/tmp,type=tmpfs -- python3 script.py
  stowaway run --mount live.iso:/iso --mount /iso/live/filesystem.squashfs:/mnt -- ls /mnt
  stowaway run --trace=stderr,openat,memory -- ls
  stowaway run --stats=./counts.txt --mount disk.img:/mnt/data -- make -C /mnt/data
  stowaway run --as root --mount disk.img:/mnt/data -- tar -C /mnt/data -xf rootfs.tar
  stowaway run --net lo -- python3 program-with-server-and-clients.py
  stowaway run --instance work --mount disk.img:/mnt/data -- bash
  stowaway run --instance work -- ls /mnt/data

Most options can be an environment variable as well: --kernel-log is STOWAWAY_KERNEL_LOG. In STOWAWAY_MOUNT and
STOWAWAY_NET, a semicolon or a newline stands between two mounts or interfaces. A settings file, named by --config or
STOWAWAY_CONFIG, has lines such as these (net may be a list, too):
  mount = [\"disk.img:/mnt/data\", \"other.img:/mnt/other:ro\"]
  mem = \"64M\"
  net = \"user\"
  dns = \"10.0.0.1\"
  publish = \"8080:80,2222:22\"
  sysctl = \"net.ipv4.tcp_ecn=1\"
  net_host = \"127.0.0.1:5432\"
  wg = \"wg0.conf\"
  netem = \"delay 50ms loss 1%\"
  qdisc = \"fq\"
  rate = \"10mbit\"
  mptcp = \"no\"
  nft = \"rules.nft\"
  as = \"root\"
  log = \"warn\"
  kernel_log = \"off\"
  follow = \"yes\"
  stats = \"off\"
  trace = \"off\"
  block_engine = \"auto\"
  perf_map = \"no\"
  doorbell = \"auto\"
  share = \"yes\"
  keeper = \"yes\"

An option overrides a variable, and a variable overrides the file.

Exit status: that of the program; 125 if a setting is wrong, or if --preload is given and the program cannot
be preloaded; 126 if the program cannot be executed; 127 if it is not found.")]
pub struct RunOptions {
    /// Mount IMAGE on PATH: IMAGE[@OFFSET][#N][[/DIR]][+IMAGE[#N]]:PATH[:ro][,type=T][,opts=A+B]
    ///
    /// Can be repeated. PATH is absolute and need not exist; inside another mount it has to. IMAGE is a file, a file of another
    /// mount, a block device, an image in another format (qcow2; gz, xz, zst; with qemu-nbd vmdk, vdi, vhdx, vhd), or an NBD
    /// server: nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH, with timeout=SECONDS last (default 60).
    /// In its place a server's directory: nfs://SERVER[:PORT]/EXPORT, smb://[USER@]SERVER[:PORT]/SHARE or
    /// 9p://[USER@]SERVER[:PORT]/TREE; a % in it is %25.
    /// @OFFSET is where in IMAGE the disk begins, in bytes. #N is a partition of it. [/DIR] is the directory of the file system
    /// that is mounted. Images joined by + are one file system: the devices of a btrfs, or ext4 and its journal, XFS
    /// and its log and realtime device, erofs and its chunks. T is ext2, ext3, ext4, xfs, btrfs, f2fs, vfat, exfat, ntfs3, udf,
    /// squashfs, erofs or iso9660, or nilfs2, jfs, hfs, hfsplus, minix, cramfs or romfs; without it, the type is detected. If
    /// IMAGE is `none`, T is tmpfs, proc, sysfs, devtmpfs or overlay. A+B are the options of mount(8), joined by + instead of commas.
    /// Write a backslash before a : , ; + # @ [ ] or \ that is part of a name.
    #[arg(long, value_name = "IMAGE[@OFFSET][#N][[/DIR]]:PATH[:ro][,type=T][,opts=A+B]")]
    pub mount: Vec<OsString>,

    /// Memory of the kernel, 16M to 16G [default: 64M]
    #[arg(long, value_name = "SIZE")]
    pub mem: Option<OsString>,

    /// Sockets that the kernel serves: none, lo (its own loopback), or a network: user, tap:NAME, switch:PATH and others [default: none]
    ///
    /// With a network, the kernel has lo and eth0. user: by the connections that this user can make on the host, with the
    /// program passt; addresses and DNS come with it, and the host's own loopback is at 10.0.2.2 and fd10:0:2::2. tap:NAME: a tap
    /// device of the host, which root has made for this user, or which is made if you are allowed to. fd:N: a tap device or a
    /// socket that is open at number N when the program starts; a datagram socket has a frame a message, a stream socket
    /// speaks QEMU's protocol (-netdev stream). stream:PATH: the same at a Unix socket; with ,listen it waits for the peer there.
    /// switch:PATH: a member of the stowaway switch at PATH. pair:PATH: a cable to the other program that names PATH; the link is
    /// down until both are there. The links of these two come back when the other side does.
    /// Then follow, for all but user: ,ip=ADDRESS/BITS (can be repeated) or ,ip=dhcp; ,gw=ADDRESS (one of each family). For all:
    /// ,mtu=BYTES ,mac=ADDRESS ,pcap=FILE (writes the frames to FILE, for Wireshark). Without ip=, IPv6 comes by the network's own router advertisements, as on any Linux.
    ///
    /// Can be repeated: the interfaces are eth0, eth1 and so on, at most 8. With --sysctl net.ipv4.ip_forward=1 the kernel is a router
    /// between them. Write a backslash before a comma or a semicolon of PATH.
    #[arg(long, value_name = "none|lo|BACKEND[,OPTION...]")]
    pub net: Vec<OsString>,

    /// Addresses of the resolvers that /etc/resolv.conf names to the program: ADDRESS[,ADDRESS...]
    ///
    /// Needs a network to the outside. Programs that open /etc/resolv.conf find these, and the file of the host stays as it is. With
    /// --net user, the host's resolver is used without this option.
    #[arg(long, value_name = "ADDRESS[,ADDRESS...]")]
    pub dns: Option<OsString>,

    /// Lead a port of the host into the program, with --net user: [ADDRESS:]HOST:INSIDE[/udp]
    ///
    /// Can be repeated. An IPv6 ADDRESS stands in brackets.
    #[arg(short = 'p', long, value_name = "[ADDRESS:]HOST:INSIDE[/udp]")]
    pub publish: Vec<OsString>,

    /// Set something of the kernel's network: KEY=VALUE, as in sysctl.conf(5)
    ///
    /// Can be repeated. KEY begins with net. Write a backslash before a comma of VALUE.
    #[arg(long, value_name = "KEY=VALUE")]
    pub sysctl: Vec<OsString>,

    /// Leave destinations to the host's network: ADDRESS[/BITS][:PORT], such as 127.0.0.1:5432 or [::1]:53
    ///
    /// Can be repeated. A socket of TCP or UDP is the host's from the moment on at which it connects, or sends, to such a destination. A
    /// socket that is bound, connected or in an epoll set by then cannot go: ENETUNREACH and a line.
    #[arg(long, value_name = "ADDRESS[/BITS][:PORT]")]
    pub net_host: Vec<OsString>,

    /// Give the program a WireGuard tunnel, wg0, from a file of wg-quick(8)
    ///
    /// Needs a network to the outside, over which the tunnel goes. The addresses, resolvers, routes and keys of FILE are set as
    /// wg-quick sets them; with AllowedIPs 0.0.0.0/0 or ::/0 everything of that family goes through the tunnel but the tunnel's own
    /// packets and those to the networks that the program is in. Names in Endpoint are asked of the network below. PostUp and
    /// other commands are not run, and are an error.
    #[arg(long, value_name = "FILE")]
    pub wg: Option<OsString>,

    /// Delay, lose, duplicate, reorder or damage what the network sends, as tc-netem(8): 'delay 50ms 10ms loss 1%'
    ///
    /// For packets that leave by the interface to the outside; with --net lo for all of the loopback, whose packets are then at most 1500
    /// bytes, as on an Ethernet. Each packet on the wire is lost or delayed for itself. WHAT is any of limit, delay, loss, corrupt, duplicate,
    /// reorder, gap, rate and ecn with what tc-netem(8) has behind them; times need a unit.
    #[arg(long, value_name = "WHAT")]
    pub netem: Option<OsString>,

    /// Queue what the network sends by a discipline of tc(8): 'fq', 'cake bandwidth 10mbit'
    ///
    /// fq, fq_codel, cake, tbf, pfifo or bfifo with their options. It comes behind --netem and --rate. For the same packets as --netem.
    #[arg(long, value_name = "KIND [OPTION...]")]
    pub qdisc: Option<OsString>,

    /// Send at most so fast: 10mbit
    ///
    /// A token bucket (tbf) that lets 5 ms, or two packets, through at once, and queues 50 ms, or four packets. For the same packets as --netem.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<OsString>,

    /// Make MPTCP sockets where the program asks for TCP ones
    ///
    /// With a peer that has no MPTCP, connections are TCP as ever.
    #[arg(long)]
    pub mptcp: bool,

    /// Have nft(8) read rules from a file before the program starts
    ///
    /// The rules are for the program's own network: filters, NAT, counters. nft is the host's (on Debian: apt install nftables). If it refuses a
    /// rule, the program does not start.
    #[arg(long, value_name = "FILE")]
    pub nft: Option<OsString>,

    /// Work on mounts with the rights of another user: root, UID or UID:GID
    ///
    /// The program is told that it is this user, and files on mounts get the owners, modes, devices and capabilities that
    /// this user may give them. Files of the host keep the rights that you really have. A GID that is not given is the
    /// number of the UID.
    #[arg(long = "as", value_name = "UID[:GID]")]
    pub run_as: Option<OsString>,

    /// Messages of Stowaway on stderr: off, error, warn, info, debug, trace [default: warn]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<OsString>,

    /// Messages of the kernel: off, stderr, or a file to append to [default: off]
    #[arg(long, value_name = "off|stderr|FILE")]
    pub kernel_log: Option<OsString>,

    /// Run the programs that PROGRAM starts without Stowaway
    #[arg(long)]
    pub no_follow: bool,

    /// Preload the library into PROGRAM with LD_PRELOAD, instead of loading PROGRAM from the library
    ///
    /// Works for dynamically linked programs only. Calls made before the library's constructor are missed. Debuggers
    /// find the program by themselves.
    #[arg(long)]
    pub preload: bool,

    /// Count system calls, and print a table at the end
    ///
    /// The table is one for the program and all that it starts, and the last of these processes prints it. It goes to the
    /// program's stderr, or to the end of FILE. It counts how calls were caught: by a libc function (hook), a rewritten call
    /// site (patched), a trap (sigsys) or int 0x80. It counts who served them: the host, the kernel, or Stowaway itself
    /// (own).
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "stderr")]
    pub stats: Option<OsString>,

    /// Print each system call as strace does, with who served it and how it was caught
    ///
    /// The lines of the program and of all that it starts go to the program's stderr, or to the end of FILE; each has the
    /// number of its thread. Names after the first comma choose calls. A name is a call, a class
    /// (file, desc, memory, network, process, signal, wait) or who served the call (host, kernel, own). A call is
    /// printed when it returns.
    #[arg(
        long,
        value_name = "FILE[,NAME...]",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "stderr"
    )]
    pub trace: Option<OsString>,

    /// How image files are read and written: auto, inline (by the calling thread), threads or io_uring [default: auto]
    #[arg(long, value_name = "auto|inline|threads|io_uring")]
    pub block_engine: Option<OsString>,

    /// Write /tmp/perf-PID.map, from which perf learns the names of the kernel's functions
    #[arg(long)]
    pub perf_map: bool,

    /// How a thread that runs the program's own code learns of events: auto, futex, signal or uintr [default: auto]
    ///
    /// futex: the thread is not disturbed; the thread that brings an event handles it. signal: by a real-time signal (61).
    /// uintr: by a user interrupt, on processors that have them. auto: uintr where it works, else futex.
    #[arg(long, value_name = "auto|futex|signal|uintr")]
    pub doorbell: Option<OsString>,

    /// Give each process a kernel of its own
    ///
    /// Without this option, the program and all that it starts share one kernel, as processes share Linux: what is open stays
    /// open over fork and exec, with shared offsets and locks. With this option, an image is one process's at a time, and a
    /// process that is killed (SIGKILL) inside the kernel stops nobody else.
    #[arg(long)]
    pub no_share: bool,

    /// Use one kernel together with all programs that are started with this name
    ///
    /// The first program starts the instance, with its --mount, --net and --mem. Programs that are started later, from
    /// another terminal too, use the same kernel: they see the same mounts and the same network, and need no such options. The
    /// instance ends with the last of them. Only the same user, and root, can join. NAME has letters, digits, dots, dashes and underscores.
    #[arg(long, value_name = "NAME")]
    pub instance: Option<OsString>,

    /// Leave no process behind that unmounts the images if the program is killed
    ///
    /// Without this option, a small process of Stowaway's (stowaway-keeper) starts soon after a writable image is mounted. If
    /// the program is killed (SIGKILL), the keeper writes what the program had written to the image, and unmounts.
    #[arg(long)]
    pub no_keeper: bool,

    /// A TOML file of settings
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
  stowaway doctor disk.img
  stowaway doctor 'disk.img#1'

Exit status: 0 if Stowaway can run on this machine, and PROGRAM if given, or if the image can be mounted; 1 if not.
A package that is missing only for building, testing or making images is a warning.")]
pub struct DoctorOptions {
    /// The program to examine: a path, or a name to look up in PATH; or an image, as --mount takes it without :PATH
    pub program: Option<OsString>,

    /// Write JSON: {\"ok\": BOOL, \"checks\": [{\"group\", \"name\", \"state\", \"detail\", \"advice\"}], \"modules\": [...]}
    #[arg(long)]
    pub json: bool,

    /// List each place where PROGRAM and its libraries make a system call, and how it is caught
    #[arg(long)]
    pub verbose: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  stowaway mkimage disk.img                      an empty ext4 image that you may write to
  stowaway mkimage disk.img my-directory         filled: owners, modes, times, links as they are
  stowaway mkimage --size 2G disk.img            (sparse: takes only the space of its content)
  stowaway mkimage --type squashfs docs.img docs read-only and compressed

xfs and vfat images are made empty; fill one with:
  stowaway run --mount disk.img:/mnt/data -- cp -a DIR/. /mnt/data/

Exit status: 0 if the image was made; 1 if not (no partial image is left); 2 for a wrong command line.")]
pub struct MkimageOptions {
    /// The type of file system
    #[arg(long = "type", value_enum, default_value = "ext4", value_name = "TYPE")]
    pub fstype: FsType,

    /// The size, such as 64M or 2G; auto: one and a half times the content of DIR [default: auto]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,

    /// The label of the file system
    #[arg(long)]
    pub label: Option<String>,

    /// Replace IMAGE if it exists
    #[arg(long)]
    pub force: bool,

    /// The image to make
    pub image: PathBuf,

    /// The directory to fill it from
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
    }
}
