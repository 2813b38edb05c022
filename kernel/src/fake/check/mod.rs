//! The kernel's invariants, looked at from outside while no call is under way.

mod capabilities;
mod cores;
mod executions;
mod memory;
mod queues;

pub use memory::leaves;

use crate::Visit;
use crate::cap::slot::Slot;
use crate::fake::{FakeArch, Machine};
use crate::object::execution::ExecutionRef;
use crate::object::space::{AddressSpace, FUNDS, GuestSpace, Space};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use crate::word::Word;
use abi::{ObjectKind, PAGE_SIZE};
use arena::{Handle, Object, Part};
use core::mem::offset_of;
use std::collections::HashMap;
use std::vec::Vec;

/// Everything that was found in memory.
struct Survey<'m, 'e> {
    machine: &'m Machine,
    visit: &'e Visit<'m, FakeArch>,
    /// Every filled slot in tree order.
    slots: Vec<Handle<Slot>>,
    /// Objects that have an original capability, by address.
    alive: HashMap<u64, ObjectKind>,
}

impl Machine {
    /// Checks every invariant of the kernel at rest.
    ///
    /// # Panics
    ///
    /// With what is wrong.
    pub fn check(&self) {
        assert!(!self.kernel.lock.is_held(), "the lock is free at rest");
        assert!(!self.kernel.round.keeps_lock(), "no round at rest");
        let visit = self.visit(0);
        let mut survey = Survey {
            machine: self,
            visit: &visit,
            slots: Vec::new(),
            alive: HashMap::new(),
        };
        survey.tree();
        survey.capabilities();
        survey.executions();
        survey.queues();
        let spaces = survey.spaces();
        survey.mappings(&spaces);
        survey.cores();
    }
}

impl Machine {
    /// Looks at memory in which no space notes the table that was used last: that is a fast path's.
    pub(super) fn without_noted_leaves<R>(&self, look: impl FnOnce() -> R) -> R {
        let visit = self.visit(0);
        let survey = Survey {
            machine: self,
            visit: &visit,
            slots: Vec::new(),
            alive: HashMap::new(),
        };
        let addresses = [survey.all::<Space>(), survey.all::<GuestSpace>()].concat();
        let spaces = addresses.iter().map(|at| survey.part::<AddressSpace>(*at));
        let notes = spaces.flat_map(|space| &space.leaves);
        let kept: Vec<(&Word, u64)> = notes.map(|note| (note, note.replace(0))).collect();
        let seen = look();
        kept.iter().for_each(|(note, word)| note.set(*word));
        seen
    }
}

impl<'e> Survey<'_, 'e> {
    /// Returns the addresses of all `T` in memory, used or not.
    fn all<T: Object>(&self) -> Vec<u64> {
        let arena = self.machine.kernel.arena();
        let pages = (arena.physical()..arena.physical() + arena.length()).step_by(4096);
        let pages = pages.filter(|page| arena.kind(*page) == T::KIND);
        let per_page = (PAGE_SIZE / T::STRIDE).max(1);
        pages
            .flat_map(|page| (0..per_page).map(move |index| page + index * T::STRIDE))
            .collect()
    }

    /// Returns the object at an address.
    fn get<T: Object>(&self, address: u64) -> &'e T {
        let handle = Handle::from_address(address).expect("not zero");
        self.visit.entry.find(handle).expect("no handle dangles")
    }

    /// Returns the part at an address.
    fn part<T: Part<FakeArch>>(&self, address: u64) -> &'e T {
        let handle = Handle::from_address(address).expect("not zero");
        self.visit.entry.part(handle).expect("no handle dangles")
    }

    /// Returns the addresses of all slots in memory.
    fn all_slots(&self) -> Vec<u64> {
        let mut found = self.all::<Slot>();
        let mut inside = |objects: Vec<u64>, offset: usize, count: usize| {
            for object in objects {
                found.extend((0..count as u64).map(|index| object + offset as u64 + index * 64));
            }
        };
        let slots = offset_of!(Thread<FakeArch>, slots);
        inside(
            self.all::<Thread<FakeArch>>(),
            slots,
            crate::object::thread::SLOTS,
        );
        let slots = offset_of!(Vcpu<FakeArch>, slots);
        inside(
            self.all::<Vcpu<FakeArch>>(),
            slots,
            crate::object::vcpu::SLOTS,
        );
        inside(self.all::<Space>(), offset_of!(Space, funds), FUNDS);
        inside(
            self.all::<GuestSpace>(),
            offset_of!(GuestSpace, funds),
            FUNDS,
        );
        inside(self.all::<crate::object::interrupt::Interrupt>(), 0, 1);
        found
    }

    /// Returns every thread and vCPU that is alive.
    fn alive_executions(&self) -> Vec<ExecutionRef> {
        let is_one = |kind: &ObjectKind| matches!(kind, ObjectKind::Thread | ObjectKind::Vcpu);
        let alive = self.alive.iter().filter(|(_, kind)| is_one(kind));
        alive
            .filter_map(|(address, _)| ExecutionRef::from_address(*address))
            .collect()
    }
}
