//! The kernel's invariants, looked at from outside while no call is under way.

use super::tlb::Key;
use super::{CORES, FakeArch, Machine};
use crate::Kernel;
use crate::arch::{Arch, Level, Stage, TableEntry};
use crate::cap::slot::Slot;
use crate::memory::{levels_of, stage_of};
use crate::object::budget::Budget;
use crate::object::endpoint::{Endpoint, Queue};
use crate::object::execution::{Execution, ExecutionRef, State, flag};
use crate::object::notification::Notification;
use crate::object::reply::Reply;
use crate::object::space::{AddressSpace, FUNDS, GuestSpace, Space};
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use abi::{ObjectKind, PAGE_SIZE, Rights};
use arena::{Entry, Handle, Object, Part};
use core::sync::atomic::Ordering;
use std::collections::{HashMap, HashSet};
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

/// Tells `each` of every leaf of a space; returns the number of tables but the root.
pub fn leaves(
    kernel: &Kernel<FakeArch>,
    entry: &Entry<'_>,
    space: &AddressSpace,
    each: &mut impl FnMut(Leaf),
) -> u64 {
    let stage = stage_of(space);
    match space.root.get() {
        0 => 0,
        root => table_leaves(
            kernel,
            entry,
            (stage, levels_of::<FakeArch>(stage)),
            (root, 0),
            each,
        ),
    }
}

/// Tells `each` of every leaf of a table; returns the number of tables below it.
fn table_leaves(
    kernel: &Kernel<FakeArch>,
    entry: &Entry<'_>,
    (stage, levels): (Stage, &[Level]),
    (table, base): (u64, u64),
    each: &mut impl FnMut(Leaf),
) -> u64 {
    let (level, below) = levels.split_first().expect("tables end at the last level");
    let words = entry.words(table, level.table_bytes());
    let words = words.expect("tables lie in table pages");
    let mut tables = 0;
    for (index, word) in words.iter().enumerate() {
        let address = base + ((index as u64) << level.shift);
        match kernel
            .arch
            .decode(stage, word.load(Ordering::Relaxed), level)
        {
            TableEntry::Empty => {}
            TableEntry::Table(next) => {
                let bytes = below.first().map_or(0, Level::table_bytes);
                let words = entry.words(next, bytes).expect("a table is there");
                let is_empty = words.iter().all(|word| word.load(Ordering::Relaxed) == 0);
                assert!(!is_empty, "an empty table is kept at {address:#x}");
                tables += 1 + table_leaves(kernel, entry, (stage, below), (next, address), each);
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

/// Everything that was found in memory.
struct Survey<'m, 'e> {
    machine: &'m Machine,
    entry: &'e Entry<'m>,
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
        let entry = self.entry(0);
        let mut survey = Survey {
            machine: self,
            entry: &entry,
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
        self.entry.find(handle).expect("no handle dangles")
    }

    /// Returns the part at an address.
    fn part<T: Part<FakeArch>>(&self, address: u64) -> &'e T {
        let handle = Handle::from_address(address).expect("not zero");
        crate::object::part::<FakeArch, T>(self.entry, handle)
    }

    /// Returns the addresses of all slots in memory.
    fn all_slots(&self) -> Vec<u64> {
        let mut found = self.all::<Slot>();
        let mut inside = |objects: Vec<u64>, offset: usize, count: usize| {
            for object in objects {
                found.extend((0..count as u64).map(|index| object + offset as u64 + index * 64));
            }
        };
        let slots = core::mem::offset_of!(Thread<FakeArch>, slots);
        inside(
            self.all::<Thread<FakeArch>>(),
            slots,
            crate::object::thread::SLOTS,
        );
        let slots = core::mem::offset_of!(Vcpu<FakeArch>, slots);
        inside(
            self.all::<Vcpu<FakeArch>>(),
            slots,
            crate::object::vcpu::SLOTS,
        );
        inside(self.all::<Space>(), 64, FUNDS);
        inside(self.all::<GuestSpace>(), 64, FUNDS);
        inside(self.all::<crate::object::interrupt::Interrupt>(), 0, 1);
        found
    }

    /// Checks that the derivation list has every filled slot once, is linked both ways, and that
    /// its depths are those of a tree.
    fn tree(&mut self) {
        let mut filled = HashSet::new();
        let mut heads = Vec::new();
        for address in self.all_slots() {
            let slot: &Slot = self.part(address);
            if slot.tag().is_empty() {
                let linked = slot.next.get().is_some() || slot.previous.get().is_some();
                assert!(!linked, "an empty slot is in no tree");
                continue;
            }
            assert!(slot.tag().object_kind().is_some(), "a slot dies at rest");
            filled.insert(address);
            if slot.previous.get().is_none() {
                heads.push(address);
            }
        }
        assert!(heads.len() <= 1, "one list: {heads:x?}");
        let mut at = heads.first().and_then(|head| Handle::from_address(*head));
        let mut depth = 0;
        while let Some(slot_ref) = at {
            let slot: &Slot = self.part(slot_ref.address());
            assert!(filled.remove(&slot_ref.address()), "a slot is there once");
            assert!(slot.tag().depth() <= depth, "no level is left out");
            depth = slot.tag().depth() + 1;
            self.slots.push(slot_ref);
            let next = slot.next.get();
            if let Some(next) = next {
                let next: &Slot = self.part(next.address());
                assert_eq!(next.previous.get(), Some(slot_ref), "linked both ways");
            }
            at = next;
        }
        assert!(filled.is_empty(), "slots out of the list: {filled:x?}");
    }

    /// Checks that every capability names what it says, inside what it was derived from.
    fn capabilities(&mut self) {
        let mut above: Vec<&Slot> = Vec::new();
        let slots = core::mem::take(&mut self.slots);
        for slot in &slots {
            let slot: &Slot = self.part(slot.address());
            let tag = slot.tag();
            above.truncate(usize::from(tag.depth()));
            self.capability(slot);
            if let Some(parent) = above.last() {
                Self::derived(parent, slot);
            }
            let kind = tag.object_kind().expect("it is filled");
            if tag.original() && kind != ObjectKind::Frame && kind != ObjectKind::Untyped {
                let before = self.alive.insert(slot.object.get(), kind);
                let is_authority = slot.object.get() == PAGE_SIZE;
                assert!(
                    before.is_none() || is_authority,
                    "an object has one original"
                );
            }
            above.push(slot);
        }
        for (index, slot) in slots.iter().enumerate() {
            let slot: &Slot = self.part(slot.address());
            if slot.tag().object_kind() == Some(ObjectKind::Untyped) {
                let next = slots
                    .get(index + 1)
                    .map(|next| self.part::<Slot>(next.address()));
                let has_child = next.is_some_and(|next| next.tag().depth() > slot.tag().depth());
                assert!(has_child || slot.badge.get() == 0, "memory comes back");
            }
        }
        self.slots = slots;
    }

    /// Checks that a capability names an object of its kind.
    fn capability(&self, slot: &Slot) {
        let object = slot.object.get();
        match slot.tag().object_kind().expect("it is filled") {
            ObjectKind::CapTable => _ = self.get::<Slot>(object),
            ObjectKind::Space => _ = self.get::<Space>(object),
            ObjectKind::GuestSpace => _ = self.get::<GuestSpace>(object),
            ObjectKind::Thread => _ = self.get::<Thread<FakeArch>>(object),
            ObjectKind::Budget => _ = self.get::<Budget>(object),
            ObjectKind::Endpoint => _ = self.get::<Endpoint>(object),
            ObjectKind::Reply => _ = self.get::<Reply>(object),
            ObjectKind::Notification => _ = self.get::<Notification>(object),
            ObjectKind::Vcpu => _ = self.get::<Vcpu<FakeArch>>(object),
            ObjectKind::Interrupt => {
                _ = self.get::<crate::object::interrupt::Interrupt>(object);
            }
            ObjectKind::Frame | ObjectKind::Untyped => {
                assert!(object.is_multiple_of(slot.bytes()), "blocks are aligned");
            }
            ObjectKind::InterruptControl | ObjectKind::Firmware => {}
        }
    }

    /// Checks that a capability is not more than what it was derived from.
    fn derived(parent: &Slot, slot: &Slot) {
        let (above, tag) = (parent.tag(), slot.tag());
        match above.object_kind().expect("it is filled") {
            ObjectKind::Untyped => {
                let start = parent.object.get();
                let end = start + parent.badge.get();
                assert!(
                    (start..end).contains(&slot.object.get()),
                    "inside the untyped memory"
                );
                if matches!(
                    tag.object_kind(),
                    Some(ObjectKind::Frame | ObjectKind::Untyped)
                ) {
                    assert!(
                        slot.object.get() + slot.bytes() <= end,
                        "all of it is inside"
                    );
                }
            }
            ObjectKind::InterruptControl if tag.kind() == ObjectKind::Interrupt as u8 => {}
            _ => {
                assert_eq!(above.kind(), tag.kind(), "a copy is of the same kind");
                assert_eq!(parent.object.get(), slot.object.get(), "and names the same");
                assert!(above.rights().covers(tag.rights()), "with no more rights");
                assert!(!tag.original(), "and is no original");
            }
        }
    }

    /// Returns every thread and vCPU that is alive.
    fn alive_executions(&self) -> Vec<ExecutionRef> {
        let is_one = |kind: &ObjectKind| matches!(kind, ObjectKind::Thread | ObjectKind::Vcpu);
        let alive = self.alive.iter().filter(|(_, kind)| is_one(kind));
        alive
            .filter_map(|(address, _)| ExecutionRef::from_address(*address))
            .collect()
    }

    /// Checks every thread and vCPU on its own.
    fn executions(&self) {
        for item in self.alive_executions() {
            let execution: &Execution = self.part(item.address());
            let context = (item, execution.state());
            assert_ne!(
                execution.state(),
                State::Dead,
                "the dead have no capability"
            );
            let parked = matches!(execution.state(), State::Parked | State::AwaitingLock);
            assert!(!parked, "nobody is parked at rest: {context:?}");
            assert!(
                !execution.has(flag::STOP_REQUESTED | flag::SHIPPED),
                "{context:?}"
            );
            let ready = execution.state() == State::Ready;
            let current = self.machine.kernel.cores[execution.core_index()]
                .current
                .get();
            let runs = current == Some(item);
            assert_eq!(ready, execution.has(flag::QUEUED) || runs, "{context:?}");
            assert!(!(execution.has(flag::QUEUED) && runs), "{context:?}");
            self.calls(item, execution);
            self.budgets(item, execution);
        }
    }

    /// Checks that caller and callee know each other.
    fn calls(&self, item: ExecutionRef, execution: &Execution) {
        if let Some(caller) = execution.caller.get() {
            let caller: &Execution = self.part(caller.address());
            assert_eq!(
                caller.state(),
                State::AwaitingReply,
                "a caller awaits its reply"
            );
            assert_eq!(caller.callee.get(), item.address(), "from its callee");
        }
        if execution.state() == State::AwaitingReply {
            let callee = execution.callee.get();
            let caller = match self.alive.get(&callee) {
                Some(ObjectKind::Reply) => self.get::<Reply>(callee).caller.get(),
                Some(_) => self.part::<Execution>(callee).caller.get(),
                None => panic!("a callee is alive"),
            };
            assert_eq!(caller, Some(item), "a callee knows its caller");
        }
        if execution.is_vcpu() {
            let vcpu: &Vcpu<FakeArch> = self.get(item.address());
            let waits = matches!(
                execution.state(),
                State::Calling | State::AwaitingReply | State::Unrouted
            );
            assert!(!waits || vcpu.exit_pending.get() == 1, "an exit is pending");
            assert_eq!(vcpu.in_guest.get() == 1, {
                let current = self.machine.kernel.cores[execution.core_index()]
                    .current
                    .get();
                current == Some(item)
            });
        }
    }

    /// Checks that budgets and those who run on them know each other.
    fn budgets(&self, item: ExecutionRef, execution: &Execution) {
        let own = execution.own_budget.get();
        if own != 0 {
            assert_eq!(
                self.alive.get(&own),
                Some(&ObjectKind::Budget),
                "a budget is alive"
            );
            let budget: &Budget = self.get(own);
            assert_eq!(budget.owner.get(), Some(item), "a budget knows its owner");
            assert_eq!(budget.core.get(), execution.core.get());
        }
        if let Some(budget) = execution.budget.get() {
            let kind = self.alive.get(&budget.address());
            assert_eq!(kind, Some(&ObjectKind::Budget), "a lent budget is alive");
            let budget: &Budget = self.get(budget.address());
            assert!(budget.owner.get().is_some(), "a budget in use has an owner");
            let lent =
                execution.own_budget.get() != execution.budget.get().map_or(0, Handle::address);
            assert!(
                !lent || execution.caller.get().is_some(),
                "who borrows has a caller"
            );
        }
    }

    /// Walks a queue, checks its links, and returns who is in it.
    fn queue(&self, queue: &Queue) -> Vec<ExecutionRef> {
        let (mut found, mut before, mut at) = (Vec::new(), None, queue.first.get());
        while let Some(item) = at {
            let execution: &Execution = self.part(item.address());
            assert_eq!(
                execution.previous.get(),
                before,
                "queues are linked both ways"
            );
            assert!(
                self.alive.contains_key(&item.address()),
                "the dead are in no queue"
            );
            assert!(found.len() < 10_000, "queues end");
            found.push(item);
            before = at;
            at = execution.next.get();
        }
        assert_eq!(queue.last.get(), before, "the last is the last");
        found
    }

    /// Checks that who is in a queue is in the state for it, and the other way round.
    fn queues(&self) {
        let mut place: HashMap<u64, (State, u64)> = HashMap::new();
        for (address, kind) in &self.alive {
            match kind {
                ObjectKind::Endpoint => self.endpoint(*address, &mut place),
                ObjectKind::Notification => self.notification(*address, &mut place),
                ObjectKind::Reply => {
                    if let Some(caller) = self.get::<Reply>(*address).caller.get() {
                        let caller: &Execution = self.part(caller.address());
                        assert_eq!(caller.callee.get(), *address, "a caller knows its Reply");
                    }
                }
                ObjectKind::Budget => {
                    if let Some(owner) = self.get::<Budget>(*address).owner.get() {
                        let owner: &Execution = self.part(owner.address());
                        assert_eq!(owner.own_budget.get(), *address, "an owner knows it");
                    }
                }
                _ => {}
            }
        }
        for item in self.alive_executions() {
            let execution: &Execution = self.part(item.address());
            let waits = matches!(
                execution.state(),
                State::Calling | State::Receiving | State::Waiting
            );
            let here = (execution.state(), execution.waits_at.get());
            let expected = waits.then_some(&here);
            assert_eq!(place.get(&item.address()), expected, "{item:?}");
        }
    }

    /// Checks the queues of an endpoint.
    fn endpoint(&self, address: u64, place: &mut HashMap<u64, (State, u64)>) {
        let endpoint: &Endpoint = self.get(address);
        let (callers, receivers) = (
            self.queue(&endpoint.callers),
            self.queue(&endpoint.receivers),
        );
        assert!(
            callers.is_empty() || receivers.is_empty(),
            "they would meet"
        );
        let priority = |item: &ExecutionRef| self.part::<Execution>(item.address()).priority.get();
        let sorted = callers
            .windows(2)
            .all(|pair| priority(&pair[0]) >= priority(&pair[1]));
        assert!(sorted, "callers wait in the order of their priorities");
        for item in callers {
            place.insert(item.address(), (State::Calling, address));
        }
        for item in receivers {
            place.insert(item.address(), (State::Receiving, address));
        }
    }

    /// Checks the waiter of a notification.
    fn notification(&self, address: u64, place: &mut HashMap<u64, (State, u64)>) {
        let notification: &Notification = self.get(address);
        let bits = notification.bits.get();
        if let Some(waiter) = notification.waiter.get() {
            assert_eq!(bits, 0, "nobody waits for what is there");
            place.insert(waiter.address(), (State::Waiting, address));
        }
        assert_eq!(
            notification.inbox_queued.get(),
            0,
            "inboxes are empty at rest"
        );
        if let Some(bound) = notification.bound.get() {
            let thread: &Thread<FakeArch> = self.get(bound.address());
            let receives = thread.execution().state() == State::Receiving;
            assert!(
                !(receives && bits != 0),
                "nobody receives while there are bits"
            );
            let slot = thread
                .slot(crate::cap::Role::Notification)
                .expect("threads have one");
            assert_eq!(slot.object.get(), address, "the bound thread knows it");
        }
    }

    /// Returns every space that is alive, by identity, after checking its tables' account.
    fn spaces(&self) -> HashMap<u64, &'e AddressSpace> {
        let is_one = |kind: &ObjectKind| matches!(kind, ObjectKind::Space | ObjectKind::GuestSpace);
        let alive = self.alive.iter().filter(|(_, kind)| is_one(kind));
        let spaces = alive.map(|(address, _)| self.part::<AddressSpace>(*address));
        spaces.map(|space| (space.identity.get(), space)).collect()
    }

    /// Checks that what slots say is mapped is in the tables, and nothing else.
    fn mappings(&self, spaces: &HashMap<u64, &'e AddressSpace>) {
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
            let mapped = expected.remove(identity).unwrap_or_default();
            self.mappings_of(space, &mapped);
        }
    }

    /// Checks the leaves of one space against the slots that are mapped in it.
    fn mappings_of(&self, space: &AddressSpace, mapped: &[&Slot]) {
        let (mut covered, mut boot) = (0, 0);
        let kernel = &self.machine.kernel;
        let tables = leaves(kernel, self.entry, space, &mut |leaf| {
            if self.machine.boot_leaves.get(&leaf.address) == Some(&leaf.physical) {
                boot += 1;
                return;
            }
            let has = |slot: &&&Slot| leaf.address.wrapping_sub(slot.address.get()) < slot.bytes();
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
        let bytes: u64 = mapped.iter().map(|slot| slot.bytes()).sum();
        assert_eq!(covered, bytes, "all of what is mapped is in the tables");
        if boot == 0 && space.root.get() != 0 && stage_of(space) == Stage::User {
            self.table_account(space, tables);
        }
    }

    /// Checks that the tables of a space with one fund are in use, free or not yet used.
    fn table_account(&self, space: &AddressSpace, tables: u64) {
        let mut free = 0;
        let mut at = space.free.get();
        while at != 0 {
            free += 1;
            let words = self
                .entry
                .words(at, PAGE_SIZE)
                .expect("a free table is there");
            at = words[0].load(Ordering::Relaxed);
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

    /// Checks what each core has.
    fn cores(&self) {
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

    /// Checks that what is loaded in a core is alive, and what it remembers.
    fn translations(&self, index: usize) {
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
                let space = self.machine.kernel.guest_space_of(self.entry, vcpu);
                let [space] = &space.expect("a loaded guest has a space").space;
                assert_eq!(
                    guest_root,
                    space.root.get(),
                    "the guest's own tables are loaded"
                );
            }
        }
        self.remembered(index);
    }

    /// Checks that a core remembers no translation that is not in the tables.
    fn remembered(&self, index: usize) {
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
                && let Some(place) =
                    self.machine
                        .kernel
                        .walk(self.entry, space, page << 12, usize::MAX)
                && let TableEntry::Leaf { physical, access } =
                    self.machine
                        .kernel
                        .arch
                        .decode(stage_of(space), place.bits(), place.level)
            {
                truth = Some((physical + ((page << 12) & (place.bytes() - 1)), access));
            }
            let (physical, access) = truth.unwrap_or_else(|| panic!("{key:?} is stale"));
            assert_eq!(physical, cached.physical, "{key:?} is stale");
            assert!(access.covers(cached.access), "{key:?} allows too much");
        }
    }
}
