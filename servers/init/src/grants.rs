//! The grants page of a process in the making.

use crate::system::Failure;
use abi::{ObjectKind, SlotAddress};
use alloc::vec::Vec;
use rt::capability::Capability;
use rt::grant::{Grant, MAGIC};
use rt::start::SLOT_FIRST_GRANT;
use rt::window::Window;

/// Rights mask and badge of a capability on its way into a process.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// The capability in init's table.
    pub capability: Capability,
    /// Its kind.
    pub kind: ObjectKind,
    /// Rights that the process gets.
    pub rights: abi::Rights,
    /// The badge, or 0.
    pub badge: u64,
}

/// The grants of a process in the making.
pub struct Grants {
    table: u32,
    next_slot: u32,
    rows: Vec<Grant>,
}

impl Grants {
    /// Begins the grants of a process whose capability table is in own slot `table`.
    pub fn new(table: u32) -> Self {
        Self {
            table,
            next_slot: SLOT_FIRST_GRANT,
            rows: Vec::new(),
        }
    }

    /// Returns the slot of init's table that has the process's table.
    pub const fn table(&self) -> u32 {
        self.table
    }

    /// Adds a number.
    pub fn value(&mut self, name: &str, value: u64) -> Result<(), Failure> {
        self.row(name, 0, 0, value)
    }

    /// Adds a capability, copied into the next free slot of the process.
    pub fn capability(&mut self, name: &str, given: Given, value: u64) -> Result<(), Failure> {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.place(slot, given)?;
        self.row(name, given.kind.number(), u64::from(slot), value)
    }

    /// Moves a capability that has no copies into the next free slot of the process.
    pub fn moved(&mut self, name: &str, capability: Capability, value: u64) -> Result<(), Failure> {
        let slot = self.next_slot;
        self.next_slot += 1;
        let kind = capability.identify()?.kind;
        capability.move_to(SlotAddress::within(self.table, slot))?;
        self.row(name, kind, u64::from(slot), value)
    }

    /// Moves `count` capabilities, from own slot `first` on, into as many slots in a row of the
    /// process; the row in the grants page has the first of them and the count.
    pub fn moved_row(&mut self, name: &str, first: u32, count: u32) -> Result<(), Failure> {
        let slot = self.next_slot;
        self.next_slot += count;
        let kind = Capability::own(first).identify()?.kind;
        for index in 0..count {
            let to = SlotAddress::within(self.table, slot + index);
            Capability::own(first + index).move_to(to)?;
        }
        self.row(name, kind, u64::from(slot), u64::from(count))
    }

    /// Copies a capability into a slot of the process without naming it.
    pub fn place(&self, slot: u32, given: Given) -> Result<(), Failure> {
        let to = SlotAddress::within(self.table, slot);
        given
            .capability
            .mint(to, given.rights, given.badge)
            .map(drop)
            .map_err(Failure::Kernel)
    }

    /// Adds a row.
    fn row(&mut self, name: &str, kind: u64, slot: u64, value: u64) -> Result<(), Failure> {
        let grant = Grant::new(name, kind, slot, value).ok_or(Failure::TooManyGrants)?;
        if self.rows.len() >= rt::grant::MAX_GRANTS {
            return Err(Failure::TooManyGrants);
        }
        self.rows.push(grant);
        Ok(())
    }

    /// Writes the page.
    pub fn write(&self, page: Window) {
        page.clear();
        page.store(0, MAGIC);
        page.store(1, self.rows.len() as u64);
        for (index, grant) in self.rows.iter().enumerate() {
            for (word, value) in grant.to_words().into_iter().enumerate() {
                page.store(2 + index * 6 + word, value);
            }
        }
    }
}
