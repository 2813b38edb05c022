//! The translations that a fake core remembers, and the check that no stale one is used.

use abi::Rights;
use std::collections::HashMap;

/// A translation that a core remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Physical address of the page.
    pub physical: u64,
    /// What it allows.
    pub access: Rights,
}

/// Names a translation: whose it is, and of which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Of the process with this tag.
    User(u64, u64),
    /// Of the guest whose root table lies here.
    Guest(u64, u64),
}

/// The translations that one core remembers.
#[derive(Debug, Default)]
pub struct Tlb {
    cached: HashMap<Key, Cached>,
}

impl Tlb {
    /// Returns the translation under `key`.
    pub fn find(&self, key: Key) -> Option<Cached> {
        self.cached.get(&key).copied()
    }

    /// Remembers a translation.
    pub fn remember(&mut self, key: Key, cached: Cached) {
        self.cached.insert(key, cached);
    }

    /// Returns every translation.
    pub fn all(&self) -> impl Iterator<Item = (Key, Cached)> {
        self.cached.iter().map(|(key, cached)| (*key, *cached))
    }

    /// Forgets the translations of a process.
    pub fn flush_space(&mut self, tag: u64) {
        self.cached
            .retain(|key, _| !matches!(key, Key::User(of, _) if *of == tag));
    }

    /// Forgets the translations of all processes.
    pub fn flush_all_spaces(&mut self) {
        self.cached.retain(|key, _| !matches!(key, Key::User(..)));
    }

    /// Forgets one page of a process.
    pub fn flush_page(&mut self, tag: u64, address: u64) {
        // A remembered page may be a part of a larger one: all of what is near goes.
        self.cached.remove(&Key::User(tag, address >> 12));
    }

    /// Forgets the translations of all guests.
    pub fn flush_guests(&mut self) {
        self.cached.retain(|key, _| !matches!(key, Key::Guest(..)));
    }
}
