// SPDX-License-Identifier: GPL-2.0-only
//! Sockets over the kernel's own loopback, and epoll.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::Errno;

fn address(v6: bool, port: u16) -> Vec<u8> {
    let mut a = if v6 { vec![0; 28] } else { vec![0; 16] };
    a[0] = if v6 { libc::AF_INET6 } else { libc::AF_INET } as u8;
    a[2..4].copy_from_slice(&port.to_be_bytes());
    if v6 {
        a[23] = 1;
    } else {
        a[4..8].copy_from_slice(&[127, 0, 0, 1]);
    }
    a
}

fn socket(k: &Thread, v6: bool) -> usize {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    k.call(libc::SYS_socket, &[family as usize, libc::SOCK_STREAM as usize, 0]).unwrap()
}

fn echo_over(v6: bool) {
    let k = Thread::new();
    let addr = address(v6, 8080);
    let listener = socket(&k, v6);
    k.call(libc::SYS_bind, &[listener, addr.as_ptr() as usize, addr.len()]).unwrap();
    k.call(libc::SYS_listen, &[listener, 16]).unwrap();
    let server = std::thread::spawn(move || {
        let me = Thread::new();
        let c = me.call(libc::SYS_accept, &[listener, 0, 0]).unwrap() as i32;
        let mut total = 0;
        loop {
            let part = me.read(c, 65536).unwrap();
            if part.is_empty() {
                break;
            }
            total += part.len();
            let mut rest = &part[..];
            while !rest.is_empty() {
                rest = &rest[me.write(c, rest).unwrap()..];
            }
        }
        me.close(c).unwrap();
        me.release();
        total
    });
    let c = socket(&k, v6) as i32;
    k.call(libc::SYS_connect, &[c as usize, addr.as_ptr() as usize, addr.len()]).unwrap();
    let message = sample_bytes(50_000);
    for _ in 0..200 {
        k.write(c, &message).unwrap();
        let mut got = Vec::new();
        while got.len() < message.len() {
            got.extend(k.read(c, 65536).unwrap());
        }
        assert!(got == message);
    }
    k.call(libc::SYS_shutdown, &[c as usize, libc::SHUT_WR as usize]).unwrap();
    assert_eq!(k.read(c, 1).unwrap(), b"");
    assert_eq!(server.join().unwrap(), 200 * message.len());
    k.close(c).unwrap();
    k.close(listener as i32).unwrap();
    k.release();
}

#[test]
fn tcp_between_threads() {
    alone("tcp_between_threads", || {
        let k = start();
        let family = [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0];
        assert_eq!(k.call(libc::SYS_socket, &family), Err(Errno::EAFNOSUPPORT));
        // SAFETY: this thread's task.
        unsafe { k.k.loopback_up(k.t) }.unwrap();
        echo_over(false);
        echo_over(true);
        k.shutdown().unwrap();
    });
}

#[test]
fn epoll_waits_for_what_it_is_told() {
    alone("epoll_waits_for_what_it_is_told", || {
        let k = start();
        let epoll = k.call(libc::SYS_epoll_create1, &[0]).unwrap();
        let event = k.call(libc::SYS_eventfd2, &[0, 0]).unwrap();
        let mut pipe = [0i32; 2];
        k.call(libc::SYS_pipe2, &[pipe.as_mut_ptr() as usize, 0]).unwrap();
        let add = |fd: usize, data: u64| {
            let e = libc::epoll_event { events: libc::EPOLLIN as u32, u64: data };
            let args = [epoll, libc::EPOLL_CTL_ADD as usize, fd, &raw const e as usize];
            k.call(libc::SYS_epoll_ctl, &args).unwrap();
        };
        add(event, u64::MAX - 1);
        add(pipe[0] as usize, 42);
        let wait = |ms: i32| {
            let mut got = [libc::epoll_event { events: 0, u64: 0 }; 4];
            let n =
                k.call(libc::SYS_epoll_wait, &[epoll, got.as_mut_ptr() as usize, 4, ms as usize]).unwrap();
            got[..n].iter().map(|e| ({ e.u64 }, { e.events })).collect::<Vec<_>>()
        };
        assert_eq!(wait(10), []);
        let writer = std::thread::spawn(move || {
            let me = Thread::new();
            std::thread::sleep(std::time::Duration::from_millis(20));
            me.write(pipe[1], b"x").unwrap();
            me.release();
        });
        assert_eq!(wait(-1), [(42, libc::EPOLLIN as u32)]);
        writer.join().unwrap();
        k.write(event as i32, &1u64.to_ne_bytes()).unwrap();
        let mut both = wait(0);
        both.sort();
        assert_eq!(both, [(42, 1), (u64::MAX - 1, 1)]);
        k.shutdown().unwrap();
    });
}
