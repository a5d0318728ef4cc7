// SPDX-License-Identifier: GPL-2.0-only
//! What programs may rely on while their calls are caught, fact by fact: see `stowaway_tests::conform`.

use stowaway_tests::conform::{gaps, Fact, Library, Place};
use stowaway_tests::everyone;

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
    static_glibc = "static".built("cc", &["-static"]).only_run(STATIC);
    static_pie = "static".built("cc", &["-static-pie"]).only_run(STATIC);
    static_musl = "static".built("musl-gcc", &["-static"]).only_run(STATIC);
    static_bare.built("cc", &["-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector"]).only_run(STATIC);

    // Doors: whoever executes it.
    vfork_child;
    raw_forks;
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
}

#[test]
fn every_gap_is_about_a_fact() {
    for (fact, mode, who, why) in gaps() {
        assert!(NAMES.contains(&fact), "gaps.txt: {fact}: no such fact");
        assert!(["preload", "run", "both"].contains(&mode), "gaps.txt: {fact}: mode {mode:?}");
        assert!(["root", "user", "all"].contains(&who), "gaps.txt: {fact}: who {who:?}");
        assert!(!why.is_empty(), "gaps.txt: {fact}: why?");
    }
}
