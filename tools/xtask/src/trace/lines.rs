//! Which cache lines cores share while each of them calls a server of its own.
//!
//! On every core somebody reads the counter, makes a call, and reads it again: what is executed between
//! the two readings is a round trip, if the kernel is in it. From when every core has made some of them
//! to the first mark, no line that a round trip stores to may be accessed by another core at all, in a
//! round trip or out of it. Accesses of the processors' own to tables of translations are not seen.

use std::collections::{BTreeMap, HashMap};

use ::trace::record::{Access, Record};

use super::Sink;
use super::known::Book;

/// Bits of an address within a cache line.
const LINE: u32 = 6;
/// Round trips that a core makes before it is looked at.
const WARM: u64 = 16;
/// Round trips of every core without which nothing was shown.
const ENOUGH: u64 = 16;

/// Who accesses a line, by core: the number of an instruction that does.
type Users = BTreeMap<u8, u32>;

/// A core, and what it executes.
#[derive(Debug, Default)]
struct Core {
    last: Option<u32>,
    is_in_kernel: bool,
    stores: Vec<(u64, u32)>,
    trips: u64,
}

/// A line that a round trip stores to and another core accesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The line's physical address.
    pub address: u64,
    /// The core of the round trip, and its instruction.
    pub stores: (u8, u32),
    /// Another core, and its instruction.
    pub accesses: (u8, u32),
}

/// What a run showed.
#[derive(Debug)]
pub struct Lines {
    /// The instructions.
    pub book: Book,
    cores: Vec<Core>,
    is_over: bool,
    all: HashMap<u64, Users>,
    stored: HashMap<u64, Users>,
}

impl Lines {
    /// Returns nothing yet, of so many cores.
    pub fn new(book: Book, cores: u16) -> Self {
        Self {
            book,
            cores: (0..cores).map(|_| Core::default()).collect(),
            is_over: false,
            all: HashMap::new(),
            stored: HashMap::new(),
        }
    }

    /// Returns how many round trips of each core were looked at.
    pub fn trips(&self) -> Vec<u64> {
        let counted = self
            .cores
            .iter()
            .map(|core| core.trips.saturating_sub(WARM));
        counted.collect()
    }

    /// Tells whether every core made enough of them.
    pub fn is_enough(&self) -> bool {
        self.cores.len() > 1 && self.trips().iter().all(|trips| *trips >= ENOUGH)
    }

    /// Returns how many lines round trips store to.
    pub fn stored(&self) -> usize {
        self.stored.len()
    }

    /// Returns the lines that are shared.
    pub fn shared(&self) -> Vec<Shared> {
        let mut shared = Vec::new();
        for (line, users) in &self.stored {
            let others = self.all.get(line).into_iter().flatten();
            for (core, number) in users {
                let other = others.clone().find(|(other, _)| *other != core);
                if let Some((other, access)) = other {
                    shared.push(Shared {
                        address: line << LINE,
                        stores: (*core, *number),
                        accesses: (*other, *access),
                    });
                }
            }
        }
        shared.sort_by_key(|one| (one.address, one.stores));
        shared
    }

    /// Tells whether cores are looked at.
    fn is_open(&self) -> bool {
        !self.is_over && self.cores.iter().all(|core| core.trips >= WARM)
    }

    /// Takes an instruction.
    fn execute(&mut self, core: u8, number: u32) {
        let is_open = self.is_open();
        let Some(known) = self.book.get(number) else {
            return;
        };
        let Some(state) = self.cores.get_mut(usize::from(core)) else {
            return;
        };
        state.last = Some(number);
        state.is_in_kernel |= known.is_kernel;
        if known.is_kernel {
            return;
        }
        if known.operation.reads_counter {
            let stores = std::mem::take(&mut state.stores);
            if std::mem::take(&mut state.is_in_kernel) {
                state.trips += u64::from(!self.is_over);
                let stores = stores.into_iter().filter(|_| is_open);
                for (line, number) in stores {
                    self.stored
                        .entry(line)
                        .or_default()
                        .entry(core)
                        .or_insert(number);
                }
            }
        }
        self.is_over |= known.operation.is_mark && is_open;
    }

    /// Takes an access to memory.
    fn access(&mut self, access: &Access) {
        if !self.is_open() {
            return;
        }
        let Some(state) = self.cores.get_mut(usize::from(access.core)) else {
            return;
        };
        let Some(number) = state.last else {
            return;
        };
        let last = access.physical + u64::from(access.size.max(1)) - 1;
        for line in access.physical >> LINE..=last >> LINE {
            let users = self.all.entry(line).or_default();
            users.entry(access.core).or_insert(number);
            if access.is_store {
                state.stores.push((line, number));
            }
        }
    }
}

impl Sink for Lines {
    fn take(&mut self, record: &Record) {
        match record {
            Record::Define(instruction) => self.book.define(instruction),
            Record::Execute { core, number } => self.execute(*core, *number),
            Record::Access(access) => self.access(access),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::Image;
    use super::super::known::tests::{KERNEL, USER, instruction};
    use super::*;
    use ::trace::operation::Machine;

    /// `rdinstret`, a store, a mark.
    const WORDS: [(u64, u32); 3] = [
        (USER, 0xc020_2573),
        (KERNEL, 0x0000_3023),
        (USER + 4, 0x05c0_2013),
    ];

    /// Returns what round trips of two cores show that store to these addresses.
    fn of(addresses: [u64; 2], load: Option<u64>) -> Lines {
        let image = Image::of_code("kernel", KERNEL, 0x0000_3023_u32.to_le_bytes());
        let mut lines = Lines::new(Book::new(Machine::Riscv, image), 2);
        for (address, word) in WORDS {
            lines.take(&Record::Define(instruction(address, word)));
        }
        for _ in 0..WARM + ENOUGH + 2 {
            for (core, physical) in (0..).zip(addresses) {
                lines.take(&Record::Execute { core, number: 1 });
                let access = |physical, is_store| Access {
                    core,
                    is_store,
                    size: 8,
                    address: physical,
                    physical,
                };
                lines.take(&Record::Access(access(physical, true)));
                if let Some(physical) = load {
                    lines.take(&Record::Access(access(physical, false)));
                }
                lines.take(&Record::Execute { core, number: 0 });
            }
        }
        lines.take(&Record::Execute { core: 0, number: 2 });
        lines
    }

    #[test]
    fn lines_of_one_core_alone_are_not_shared() {
        let lines = of([0x1000, 0x1040], Some(0x2000));
        assert!(lines.is_enough(), "{:?}", lines.trips());
        assert_eq!((lines.stored(), lines.shared()), (2, vec![]));
    }

    #[test]
    fn two_stores_to_one_line_are_found_and_so_is_a_load() {
        assert_eq!(of([0x1000, 0x1038], None).shared().len(), 2);
        let shared = of([0x1000, 0x1040], Some(0x1008)).shared();
        assert_eq!((shared[0].address, shared[0].accesses), (0x1000, (1, 1)));
        // Across the end of a line.
        assert_eq!(of([0x103c, 0x1078], None).shared().len(), 2);
    }
}
