//! Invariants of what each core has loaded, and of what it remembers.

use super::Survey;
use crate::arch::TableEntry;
use crate::fake::tlb::Key;
use crate::fake::{CORES, FakeArch};
use crate::object::execution::{Execution, State, flag};
use crate::object::space::AddressSpace;
use crate::object::vcpu::Vcpu;
use abi::ObjectKind;
use core::sync::atomic::Ordering;
use std::collections::HashSet;
use std::vec::Vec;

impl Survey<'_, '_> {
    /// Checks what each core has.
    pub(super) fn cores(&self) {
        for index in 0..self.machine.cores() {
            let core = &self.machine.kernel.cores[index];
            assert_eq!(core.inbox.first.get(), 0, "inboxes are empty at rest");
            assert!(core.lock_waiters.is_empty(), "nobody waits for a free lock");
            if let Some(current) = core.current.get() {
                assert!(
                    self.alive.contains_key(&current.address()),
                    "the dead do not run"
                );
                assert_eq!(
                    self.part::<Execution>(current.address()).state(),
                    State::Ready
                );
            }
            for (priority, queue) in core.ready.iter().enumerate() {
                let ready = self.queue(queue);
                let bit = core.ready_bits.get() >> priority & 1 == 1;
                assert_eq!(
                    bit,
                    !ready.is_empty(),
                    "ready bits say which queues are empty"
                );
                for item in ready {
                    let execution: &Execution = self.part(item.address());
                    assert!(execution.has(flag::QUEUED) && execution.core_index() == index);
                    assert_eq!(execution.priority.get(), priority as u64);
                }
            }
            self.deadlines(index);
            self.loaded(index);
            self.translations(index);
        }
        assert!(self.machine.cores() <= CORES);
    }

    /// Checks the deadlines of a core.
    fn deadlines(&self, index: usize) {
        let core = &self.machine.kernel.cores[index];
        let (mut before, mut at, mut found) = (None, core.deadlines.get(), HashSet::new());
        let mut time = 0;
        while let Some(item) = at {
            let execution: &Execution = self.part(item.address());
            assert!(execution.has(flag::TIMED) && execution.core_index() == index);
            assert_eq!(execution.deadline_previous.get(), before);
            assert!(execution.deadline.get() >= time, "earliest first");
            time = execution.deadline.get();
            assert!(found.insert(item.address()));
            before = at;
            at = execution.deadline_next.get();
        }
        for item in self.alive_executions() {
            let execution: &Execution = self.part(item.address());
            if execution.core_index() == index {
                let timed = execution.has(flag::TIMED);
                assert_eq!(timed, found.contains(&item.address()), "{item:?}");
            }
        }
    }

    /// Checks that what a core has loaded is alive.
    fn loaded(&self, index: usize) {
        let core = &self.machine.kernel.cores[index];
        let fake = &self.machine.kernel.arch.cores[index];
        let loaded = core.loaded_space.get();
        if loaded == 0 {
            assert_eq!(
                fake.space[1].load(Ordering::SeqCst),
                0,
                "no process is loaded"
            );
        } else {
            assert_eq!(self.alive.get(&loaded), Some(&ObjectKind::Space));
            let space: &AddressSpace = self.part(loaded);
            assert_eq!(fake.space[0].load(Ordering::SeqCst), space.root.get());
            assert_eq!(fake.space[1].load(Ordering::SeqCst), space.tag.get() + 1);
        }
        let guest_root = fake.guest_root.load(Ordering::SeqCst);
        match core.loaded_guest.get() {
            None => assert_eq!(guest_root, 0, "no guest is loaded"),
            Some(guest) => {
                assert_eq!(self.alive.get(&guest.address()), Some(&ObjectKind::Vcpu));
                let vcpu: &Vcpu<FakeArch> = self.get(guest.address());
                let space = self.visit.guest_space_of(vcpu);
                let [space] = &space.expect("a loaded guest has a space").space;
                assert_eq!(
                    guest_root,
                    space.root.get(),
                    "the guest's own tables are loaded"
                );
            }
        }
    }

    /// Checks that a core remembers no translation that is not in the tables.
    fn translations(&self, index: usize) {
        let fake = &self.machine.kernel.arch.cores[index];
        let spaces = self.spaces();
        let cached: Vec<_> = fake.tlb.lock().unwrap().all().collect();
        for (key, cached) in cached {
            let (space, page) = match key {
                Key::User(tag, page) => {
                    let user = |space: &&&AddressSpace| {
                        space.is_guest.get() == 0 && space.tag.get() == tag
                    };
                    (spaces.values().find(user), page)
                }
                Key::Guest(root, page) => {
                    let guest = |space: &&&AddressSpace| {
                        space.is_guest.get() == 1 && space.root.get() == root
                    };
                    (spaces.values().find(guest), page)
                }
            };
            let space = space.expect("translations of the dead are forgotten");
            let mut truth = None;
            if space.root.get() != 0
                && let Some(place) = self.visit.walk(space, page << 12, usize::MAX)
                && let TableEntry::Leaf { physical, access } = self.visit.found(&place)
            {
                truth = Some((physical + ((page << 12) & (place.bytes() - 1)), access));
            }
            let (physical, access) = truth.unwrap_or_else(|| panic!("{key:?} is stale"));
            assert_eq!(physical, cached.physical, "{key:?} is stale");
            assert!(access.covers(cached.access), "{key:?} allows too much");
        }
    }
}
