// SPDX-License-Identifier: GPL-2.0-only
//! Which member has which address: learned from the sources of frames, used by the threads of all members at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;

use dashmap::DashMap;

use super::frames::{is_group, Mac};
use super::member::Member;

/// An address of which nothing was heard for so long is forgotten, s (IEEE 802.1D, table 7-5).
const AGE_S: u64 = 300;
/// Addresses of a member, at most: a member that makes addresses up does not fill the memory. Frames to the rest go to all.
pub const MOST_ADDRESSES: usize = 1024;

struct Place {
    member: Arc<Member>,
    /// When it was last heard, s since the switch began.
    heard_s: AtomicU64,
}

/// The table.
pub struct Table {
    places: DashMap<Mac, Place>,
    begun: Instant,
}

impl Default for Table {
    fn default() -> Table {
        Table { places: DashMap::new(), begun: Instant::now() }
    }
}

impl Table {
    fn now_s(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    /// A frame from this address came from this member.
    pub fn learn(&self, mac: Mac, member: &Arc<Member>) {
        if is_group(&mac) || mac == [0; 6] {
            return;
        }
        let now_s = self.now_s();
        if let Some(place) = self.places.get(&mac) {
            if Arc::ptr_eq(&place.member, member) {
                if place.heard_s.load(Ordering::Relaxed) != now_s {
                    place.heard_s.store(now_s, Ordering::Relaxed);
                }
                return;
            }
        }
        if member.addresses.fetch_add(1, Ordering::Relaxed) >= MOST_ADDRESSES {
            member.addresses.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let place = Place { member: Arc::clone(member), heard_s: AtomicU64::new(now_s) };
        if let Some(before) = self.places.insert(mac, place) {
            before.member.addresses.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The member that has this address, if it is known.
    pub fn find(&self, mac: &Mac) -> Option<Arc<Member>> {
        let place = self.places.get(mac)?;
        let age_s = self.now_s().saturating_sub(place.heard_s.load(Ordering::Relaxed));
        (age_s < AGE_S).then(|| Arc::clone(&place.member))
    }

    /// Forgets what a member had.
    pub fn forget(&self, member: &Arc<Member>) {
        self.places.retain(|_, place| !Arc::ptr_eq(&place.member, member));
    }

    /// Forgets addresses that are too old.
    pub fn sweep(&self) {
        let now_s = self.now_s();
        self.places.retain(|_, place| {
            let is_young = now_s.saturating_sub(place.heard_s.load(Ordering::Relaxed)) < AGE_S;
            if !is_young {
                place.member.addresses.fetch_sub(1, Ordering::Relaxed);
            }
            is_young
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn member(number: u64) -> Arc<Member> {
        Arc::new(Member::new(number, UnixStream::pair().unwrap().0).unwrap())
    }

    fn found(table: &Table, mac: Mac, wanted: &Arc<Member>) -> bool {
        table.find(&mac).is_some_and(|member| Arc::ptr_eq(&member, wanted))
    }

    #[test]
    fn the_last_word_counts() {
        let (table, one, two) = (Table::default(), member(1), member(2));
        let mac = [2, 0, 0, 0, 0, 1];
        assert!(table.find(&mac).is_none());
        table.learn(mac, &one);
        table.learn(mac, &one);
        assert!(found(&table, mac, &one));
        table.learn(mac, &two);
        assert!(found(&table, mac, &two));
        assert_eq!(one.addresses.load(Ordering::Relaxed), 0);
        table.forget(&two);
        assert!(table.find(&mac).is_none());
    }

    #[test]
    fn groups_are_not_learned_nor_more_than_the_most() {
        let (table, one, two) = (Table::default(), member(1), member(2));
        table.learn([0xff; 6], &one);
        table.learn([0; 6], &one);
        assert!(table.places.is_empty());
        for i in 0..2 * MOST_ADDRESSES as u32 {
            let [_, a, b, c] = i.to_be_bytes();
            table.learn([2, 9, 9, a, b, c], &one);
        }
        assert_eq!(table.places.len(), MOST_ADDRESSES);
        table.learn([2, 0, 0, 0, 0, 7], &two);
        assert!(found(&table, [2, 0, 0, 0, 0, 7], &two));
    }
}
