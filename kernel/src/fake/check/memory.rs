//! Invariants of translation tables.

use super::Survey;
use crate::Visit;
use crate::arch::{Arch, Level, Stage, TableEntry};
use crate::cap::slot::{FREEING, Slot};
use crate::fake::FakeArch;
use crate::fast::memory::LEVEL_SHIFT;
use crate::memory::stage_of;
use crate::object::space::{AddressSpace, Space};
use abi::{ObjectKind, PAGE_SIZE, Rights};
use core::sync::atomic::Ordering;
use std::collections::HashMap;
use std::vec::Vec;

/// One leaf of a space's tables.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// Where it is mapped.
    pub address: u64,
    /// What is mapped.
    pub physical: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its access.
    pub access: Rights,
}

/// Tells `each` of every leaf of a space; returns the number of tables but the root. A table is empty
/// only where one of the addresses `freed` is.
pub fn leaves(
    visit: &Visit<'_, FakeArch>,
    space: &AddressSpace,
    freed: &[u64],
    each: &mut impl FnMut(Leaf),
) -> u64 {
    let stage = stage_of(space);
    match space.root.get() {
        0 => 0,
        root => table_leaves(
            visit,
            (stage, visit.arch.levels(stage)),
            (root, 0),
            freed,
            each,
        ),
    }
}

/// Tells `each` of every leaf of a table; returns the number of tables below it.
fn table_leaves(
    visit: &Visit<'_, FakeArch>,
    (stage, levels): (Stage, &[Level]),
    (table, base): (u64, u64),
    freed: &[u64],
    each: &mut impl FnMut(Leaf),
) -> u64 {
    let (level, below) = levels.split_first().expect("tables end at the last level");
    let words = visit.entry.words(table, level.table_bytes());
    let words = words.expect("tables lie in table pages");
    let mut tables = 0;
    for (index, word) in words.iter().enumerate() {
        let address = base + ((index as u64) << level.shift);
        match visit
            .arch
            .decode(stage, word.load(Ordering::Relaxed), level)
        {
            TableEntry::Empty => {}
            TableEntry::Table(next) => {
                let level = below.first().expect("a table is of a level");
                let words = visit.entry.words(next, level.table_bytes());
                let words = words.expect("a table is there");
                let is_empty = words.iter().all(|word| {
                    let bits = word.load(Ordering::Relaxed);
                    visit.arch.decode(stage, bits, level) == TableEntry::Empty
                });
                let bytes = 1 << (level.shift + level.bits);
                let is_empty = is_empty && !freed.iter().any(|at| at / bytes == address / bytes);
                assert!(!is_empty, "an empty table is kept at {address:#x}");
                tables += 1 + table_leaves(visit, (stage, below), (next, address), freed, each);
            }
            TableEntry::Leaf { physical, access } => each(Leaf {
                address,
                physical,
                bytes: 1 << level.shift,
                access,
            }),
        }
    }
    tables
}

impl<'e> Survey<'_, 'e> {
    /// Returns every space that is alive, by identity, after checking its tables' account.
    pub(super) fn spaces(&self) -> HashMap<u64, &'e AddressSpace> {
        let is_one = |kind: &ObjectKind| matches!(kind, ObjectKind::Space | ObjectKind::GuestSpace);
        let alive = self.alive.iter().filter(|(_, kind)| is_one(kind));
        let spaces = alive.map(|(address, _)| self.part::<AddressSpace>(*address));
        spaces.map(|space| (space.identity.get(), space)).collect()
    }

    /// Checks that what slots say is mapped is in the tables, and nothing else.
    pub(super) fn mappings(&self, spaces: &HashMap<u64, &'e AddressSpace>) {
        let mut expected: HashMap<u64, Vec<&Slot>> = HashMap::new();
        for slot in &self.slots {
            let slot: &Slot = self.part(slot.address());
            let is_frame = slot.tag().object_kind() == Some(ObjectKind::Frame);
            let lives = spaces.get(&slot.progress.get());
            if is_frame && slot.tag().mapped() && lives.is_some_and(|space| space.root.get() != 0) {
                expected.entry(slot.progress.get()).or_default().push(slot);
            }
        }
        for (identity, space) in spaces {
            self.noted_leaves(space);
            let mapped = expected.remove(identity).unwrap_or_default();
            self.mappings_of(space, &mapped);
        }
    }

    /// Checks that the table of leaves that a space notes is one of its own, where it says.
    fn noted_leaves(&self, space: &AddressSpace) {
        let [name, table] = &space.leaves;
        if table.get() != 0 {
            let levels = self.visit.arch.levels(stage_of(space));
            let depth = levels.len() - 1 - (name.get() >> LEVEL_SHIFT) as usize;
            let Level { bits, shift, .. } = levels[depth];
            // What it says of the level falls off.
            let address = name.get() << bits << shift;
            let place = self.visit.walk(space, address, depth);
            let found = place.map(|place| (place.depth, place.table));
            assert_eq!(found, Some((depth, table.get())), "at {address:#x}");
        }
    }

    /// Checks the leaves of one space against the slots that are mapped in it.
    fn mappings_of(&self, space: &AddressSpace, mapped: &[&Slot]) {
        let (mut covered, mut boot) = (0, 0);
        let left = |slot: &Slot| slot.badge.get() & !FREEING;
        let is_freed = |slot: &&&Slot| slot.badge.get() & FREEING != 0;
        let freed = mapped.iter().filter(is_freed);
        let freed: Vec<u64> = freed.map(|slot| slot.address.get() + left(slot)).collect();
        let tables = leaves(self.visit, space, &freed, &mut |leaf| {
            if self.machine.boot_leaves.get(&leaf.address) == Some(&leaf.physical) {
                boot += 1;
                return;
            }
            let has = |slot: &&&Slot| leaf.address.wrapping_sub(slot.address.get()) < left(slot);
            let slot = mapped
                .iter()
                .find(has)
                .unwrap_or_else(|| panic!("whose is {leaf:x?}?"));
            let offset = leaf.address - slot.address.get();
            assert_eq!(
                leaf.physical,
                slot.object.get() + offset,
                "the right memory"
            );
            assert!(
                slot.tag().rights().covers(leaf.access),
                "no more than the rights"
            );
            covered += leaf.bytes;
        });
        let bytes: u64 = mapped.iter().map(|slot| left(slot)).sum();
        assert_eq!(covered, bytes, "all of what is mapped is in the tables");
        if boot == 0 && space.root.get() != 0 && stage_of(space) == Stage::User {
            self.table_account(space, tables);
        }
    }

    /// Checks that the tables of a space with one fund are in use, free or not yet used.
    fn table_account(&self, space: &AddressSpace, tables: u64) {
        let mut free = 0;
        for list in &space.free {
            let mut at = list.get();
            while at != 0 {
                free += 1;
                let words = self.visit.entry.words(at, PAGE_SIZE);
                at = words.expect("a free table is there")[0].load(Ordering::Relaxed);
            }
        }
        let address = core::ptr::from_ref(space).addr();
        let owner = self.all::<Space>().into_iter();
        let mut owner = owner
            .filter(|it| core::ptr::from_ref(self.part::<AddressSpace>(*it)).addr() == address);
        let owner: &Space = self.get(owner.next().expect("it is in a Space"));
        let funds = owner.funds.iter().filter(|fund| !fund.tag().is_empty());
        let bytes: Vec<u64> = funds.map(Slot::bytes).collect();
        if let [bytes] = bytes.as_slice() {
            let left = space.fund_end.get() - space.fund_next.get();
            assert_eq!(
                (1 + tables + free) * PAGE_SIZE + left,
                *bytes,
                "no table is lost"
            );
        }
    }
}
