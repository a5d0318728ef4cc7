// SPDX-License-Identifier: GPL-2.0-only
//! What programs may rely on while their calls are caught, fact by fact: see `stowaway_tests::conform`.

use stowaway_tests::conform::{Fact, Library, Place, GAPS};
use stowaway_tests::{everyone, gaps};

macro_rules! source {
    ($name:literal) => {
        include_str!(concat!("../programs/conform/", $name, ".c"))
    };
}

const DOOR: Library =
    Library { name: "libdoor.so", source: source!("libdoor"), place: Place::Host, needed: false };
const EARLY: Library =
    Library { name: "libearly.so", source: source!("libearly"), place: Place::Host, needed: true };
const STATIC: &str = "there is no dynamic loader that would preload";
const BEFORE: &str =
    "ld.so calls the constructors of libraries that nothing depends on first, and works before all";

/// Declares the facts: each is a test for root and for an ordinary user.
macro_rules! facts {
    ($($name:ident $(= $source:literal)? $(. $method:ident ($($argument:expr),*))*;)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        everyone! {
            $(fn $name() {
                let source = facts!(@source $name $($source)?);
                Fact::new(stringify!($name), source)$(.$method($($argument),*))*.prove();
            })*
        }
    };
    (@source $name:ident $source:literal) => { source!($source) };
    (@source $name:ident) => { include_str!(concat!("../programs/conform/", stringify!($name), ".c")) };
}

facts! {
    // Doors: wherever the instruction stands.
    plain_text;
    libc_names;
    hidden_function;
    jit_rwx;
    jit_writable_or_executable;
    executable_only;
    rewritten_code;
    loaded_later.with(DOOR);
    loaded_from_the_image.with(Library { place: Place::Image, ..DOOR });
    needed_from_the_image.with(Library { place: Place::Image, needed: true, ..DOOR }).only_run(BEFORE);
    early_constructor.with(EARLY).only_run(BEFORE);
    preloaded_library.with(Library { needed: false, ..EARLY }).only_run(BEFORE);
    static_glibc = "static".built("cc", &["-static"]).only_run(STATIC);
    static_pie = "static".built("cc", &["-static-pie"]).only_run(STATIC);
    static_musl = "static".built("musl-gcc", &["-static"]).only_run(STATIC);
    static_bare.built("cc", &["-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"]).only_run(STATIC);

    // Doors: whoever executes it.
    vfork_child;
    raw_forks;
    fork_after_threads;
    clone_onto_a_stack;
    bare_thread;
    threads;
    shell_child;
    spawned;
    exec_empty_environment;
    exec_env_i;
    exec_other_preload;
    exec_by_descriptor;
    exec_by_the_loader;
    exec_by_an_instruction;
    exec_script;
    exec_from_a_thread;
    exec_after_vfork;
    exec_keeps;
    exit_of_the_last_thread;
    setuid_programs.says(2, 0);

    // Signals.
    all_signals_blocked;
    mask_as_asked;
    handler_that_blocks_all;
    dash_and_its_children;
    own_sigsys_handler;
    ignored_sigsys;
    sigsys_kills;
    small_alternate_stack;
    changed_context;
    own_traps;
    null_faults;
    eintr;
    interval_timer;
    jumps_out_of_handlers;
    backtraces;

    // The program uses what we use.
    own_dispatch;
    dispatch_switched_off;
    strict_seccomp;
    tight_seccomp;
    seccomp_filter;
    seccomp_same_calls.only_bare("paths of the host are walked there, by readlinkat and getcwd");
    seccomp_end;
    gs_base;

    // Registers, and memory that is the caller's.
    general_registers;
    flags;
    xmm;
    ymm;
    zmm_and_masks;
    x87_and_mxcsr;
    red_zone;
    shallow_stack;
    small_thread_stack;
    coroutine_stack;
    errno_untouched;

    // Code stays what it is.
    data_bytes;
    steered_into_data;
    branch_to_the_instruction;
    first_instruction;
    racing_threads;
    blocked_in_a_site;
    no_writable_code;
    vdso;

    // Numbers and surroundings.
    int80;
    odd_numbers.says(1, 1);
    own_names;
    break_and_stack;
}

#[test]
fn every_gap_is_about_a_fact() {
    gaps::check(GAPS, NAMES, &["preload", "run"]);
}
