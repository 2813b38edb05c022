//! Space and GuestSpace: translation tables and the memory they are made of.

use crate::cap::Slot;
use crate::word::Word;
use abi::exit::{MAX_ROUTES, RouteKey};
use zerocopy::FromBytes;

/// Pieces of untyped memory that one space can be funded with.
pub const FUNDS: usize = 8;

/// What both kinds of space have.
#[derive(FromBytes)]
#[repr(C, align(64))]
pub struct AddressSpace {
    /// Physical address of the root table; 0 while there is none.
    pub root: Word,
    /// The machine's tag, of a process.
    pub tag: Word,
    /// Never the same for two spaces: tells a mapping's space from a later one at its address.
    pub identity: Word,
    /// Cores that may have translations of it.
    pub cores: Word,
    /// 1 for a guest's.
    pub is_guest: Word,
    /// First free table, linked through the tables' first words: of the last level, and of the
    /// other levels below the root, whose tables have one size.
    pub free: [Word; 2],
    /// First unused byte of the newest fund.
    pub fund_next: Word,
    /// End of the newest fund.
    pub fund_end: Word,
    /// What makes the tables of a process current, or 0 while there is no root.
    pub word: Word,
    /// Cores on which translations may be missing that were made since they flushed the space.
    pub unaware: Word,
    /// The table of leaves that was used last: its name, which is which one it is of those that a
    /// space can have, by address and level, and where; 0 where none is known.
    pub leaves: [Word; 2],
    unused: [u64; 3],
}

/// The address space of a process.
#[derive(FromBytes)]
#[repr(C, align(1024))]
pub struct Space {
    /// Tables.
    pub space: [AddressSpace; 1],
    /// Where the tables' memory comes from.
    pub funds: [Slot; FUNDS],
    unused: [u64; 48],
}

/// A range of guest-physical addresses or ports with a server of its own.
#[derive(FromBytes)]
#[repr(C)]
pub struct Route {
    /// First address.
    pub base: Word,
    /// Bytes; 0 is no route.
    pub length: Word,
    /// An `abi::exit::RouteKey`.
    pub key: Word,
}

impl Route {
    /// Returns whether the route lies in the address space that `key` is about. Devices and memory
    /// share one: guest-physical addresses.
    pub fn is_in_space_of(&self, key: RouteKey) -> bool {
        // They are 0 and 1, which `abi` holds them to.
        const MEMORY: u64 = RouteKey::Memory as u64;
        self.key.get().max(MEMORY) == key.number().max(MEMORY)
    }
}

/// The second-stage address space of a guest.
#[derive(FromBytes)]
#[repr(C, align(2048))]
pub struct GuestSpace {
    /// Tables.
    pub space: [AddressSpace; 1],
    /// Where the tables' memory comes from.
    pub funds: [Slot; FUNDS],
    /// Device and memory routes, by index.
    pub routes: [Route; MAX_ROUTES],
    unused: [u64; 80],
}
