//! What tests of the kernel have in common: objects made by the first process, and threads of it.

use super::Machine;
use super::machine::{Answer, PAGES};
use crate::object::execution::State;
use abi::boot::{SLOT_CAP_TABLE, SLOT_FIRST_UNTYPED, SLOT_SPACE};
use abi::call::{Binding, FOREVER};
use abi::{CallNumber, CallWord, MessageInfo, ObjectKind};
use core::sync::atomic::Ordering;

/// A thread that was made for a test. It shares the first process's table and space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Slot of its capability.
    pub slot: u64,
    /// Its address: what the calls of [`Machine`] name it by.
    pub id: u64,
    /// Slot of its budget.
    pub budget: u64,
    /// Slot of its message page's frame.
    pub page: u64,
}

/// Priority of the first process and of the threads of tests.
pub const PRIORITY: u64 = abi::boot::PRIORITY;

impl Machine {
    /// Returns a slot that no test used yet.
    pub fn slot(&self) -> u64 {
        self.slots(1)
    }

    /// Returns the first of `count` slots in a row that no test used yet.
    pub fn slots(&self, count: u64) -> u64 {
        self.next_slot.fetch_add(count, Ordering::Relaxed)
    }

    /// Lets the first process make a call.
    #[track_caller]
    pub fn init_call(&self, number: CallNumber, arguments: &[u64]) -> Answer {
        self.call(self.init, number, arguments)
    }

    /// Lets the first process make a call that succeeds; returns its first result.
    #[track_caller]
    pub fn must(&self, number: CallNumber, arguments: &[u64]) -> u64 {
        self.init_call(number, arguments).value()
    }

    /// Returns the slot of the untyped memory that tests use: the largest of ordinary memory.
    pub fn pool(&self) -> u64 {
        let first = u64::from(SLOT_FIRST_UNTYPED);
        let size = |slot: &u64| {
            let answer = self.init_call(CallNumber::Identify, &[*slot]);
            let is_memory = answer.x[1] == ObjectKind::Untyped.number()
                && answer.x[4] < super::machine::MEMORY + PAGES as u64 * 4096;
            if is_memory { answer.x[5] } else { 0 }
        };
        (first..first + 32).max_by_key(size).expect("there is one")
    }

    /// Returns the slot of the largest untyped device memory.
    pub fn devices(&self) -> u64 {
        let first = u64::from(SLOT_FIRST_UNTYPED);
        let is_device = |slot: &u64| {
            let answer = self.init_call(CallNumber::Identify, &[*slot]);
            answer.x[1] == ObjectKind::Untyped.number()
                && answer.x[4] >= super::machine::DEVICES
                && answer.x[5] >= 2 << 30
        };
        (first..first + 64).find(is_device).expect("there is one")
    }

    /// Makes an object out of the pool, in a slot of its own.
    #[track_caller]
    pub fn make(&self, kind: ObjectKind, size: u64) -> u64 {
        let slot = self.slot();
        self.must(
            CallNumber::Retype,
            &[self.pool(), kind.number(), size, 1, slot],
        );
        slot
    }

    /// Returns the address of the object that a slot names.
    #[track_caller]
    pub fn address(&self, slot: u64) -> u64 {
        let answer = self.init_call(CallNumber::Identify, &[slot]);
        answer.value();
        answer.x[4]
    }

    /// Makes a thread on a core that runs, with a budget without end.
    #[track_caller]
    pub fn user(&self, core: u64) -> User {
        let user = self.stopped_user(core);
        self.must(CallNumber::ThreadResume, &[user.slot]);
        user
    }

    /// Makes a thread on a core that is stopped, with a budget without end.
    #[track_caller]
    pub fn stopped_user(&self, core: u64) -> User {
        let user = User {
            slot: self.make(ObjectKind::Thread, core),
            budget: self.make(ObjectKind::Budget, core),
            page: self.make(ObjectKind::Frame, 12),
            id: 0,
        };
        let user = User {
            id: self.address(user.slot),
            ..user
        };
        self.forget(user.id);
        self.must(CallNumber::BudgetConfigure, &[user.budget, 1, 1]);
        for (binding, slot) in [
            (Binding::Space, u64::from(SLOT_SPACE)),
            (Binding::CapTable, u64::from(SLOT_CAP_TABLE)),
            (Binding::MessagePage, user.page),
            (Binding::Budget, user.budget),
        ] {
            self.bind(user.slot, binding, slot)
                .expect("it can be bound");
        }
        self.must(CallNumber::ThreadPriority, &[user.slot, PRIORITY]);
        user
    }

    /// Binds something to a thread.
    pub fn bind(&self, thread: u64, binding: Binding, slot: u64) -> Result<(), abi::Error> {
        let arguments = [thread, binding.number(), slot];
        self.init_call(CallNumber::ThreadBind, &arguments).status()
    }

    /// Lets a thread receive, for ever; `None` where it waits.
    #[track_caller]
    pub fn receive(&self, thread: u64, endpoint: u64) -> Option<Answer> {
        self.try_call(
            thread,
            CallNumber::Receive,
            &[endpoint, 0, 0, 0, 0, 0, 0, FOREVER],
        )
    }

    /// Lets a thread call an endpoint with words; `None` where it waits.
    #[track_caller]
    pub fn call_endpoint(&self, thread: u64, endpoint: u64, words: &[u64]) -> Option<Answer> {
        let word = message(CallNumber::Call, words.len(), 0);
        self.send(thread, word, &with_words(endpoint, words))
    }

    /// Lets a thread reply with words.
    #[track_caller]
    pub fn reply(&self, thread: u64, words: &[u64]) -> Answer {
        let word = message(CallNumber::Reply, words.len(), 0);
        let answer = self.send(thread, word, &with_words(0, words));
        answer.expect("a reply does not wait")
    }

    /// Returns whether a thread or vCPU waits for something.
    pub fn waits(&self, item: u64) -> bool {
        !matches!(self.state(item), State::Ready)
    }
}

/// Returns the call word of a message with so many words and capabilities.
#[must_use]
pub fn message(number: CallNumber, words: usize, caps: usize) -> CallWord {
    let info = MessageInfo::new().with_words(words).with_caps(caps);
    CallWord::new().with_number(number as u8).with_info(info)
}

/// Returns the arguments of a call that sends words.
#[must_use]
pub fn with_words(first: u64, words: &[u64]) -> [u64; 8] {
    let mut arguments = [0; 8];
    arguments[0] = first;
    for (to, from) in arguments[1..7].iter_mut().zip(words) {
        *to = *from;
    }
    arguments[7] = FOREVER;
    arguments
}

/// What a slot of the first process's table holds.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The kind of its object.
    pub kind: ObjectKind,
    /// Its rights.
    pub rights: abi::Rights,
    /// Its object.
    pub object: u64,
    /// Its badge.
    pub badge: u64,
    /// Its order.
    pub order: u8,
    /// Of an Untyped, the bytes that were handed out.
    pub used: u64,
    /// Whether it is an original.
    pub original: bool,
    /// Whether it is device memory.
    pub device: bool,
    /// Whether it is mapped.
    pub mapped: bool,
}

impl Machine {
    /// Looks at a slot of the first process's table without a call.
    pub fn look(&self, slot: u64) -> Option<Seen> {
        let visit = self.visit(0);
        let place = arena::Handle::from_address(self.table + slot * 64)?;
        let slot = visit.slot(place);
        let tag = slot.tag();
        Some(Seen {
            kind: tag.object_kind()?,
            rights: tag.rights(),
            object: slot.object.get(),
            badge: slot.badge.get(),
            order: tag.order(),
            used: slot.badge.get(),
            original: tag.original(),
            device: tag.device(),
            mapped: tag.mapped(),
        })
    }

    /// Returns the core of an Endpoint, Reply, Notification or Budget, of which it is the first
    /// word.
    pub fn object_core(&self, object: u64) -> u64 {
        use crate::object::{endpoint, notification, reply};
        let visit = self.visit(0);
        let endpoint = arena::Handle::<endpoint::Endpoint>::from_address(object);
        let reply = arena::Handle::<reply::Reply>::from_address(object);
        let notification = arena::Handle::<notification::Notification>::from_address(object);
        let cores = [
            endpoint
                .and_then(|it| visit.entry.find(it))
                .map(|it| it.core.get()),
            reply
                .and_then(|it| visit.entry.find(it))
                .map(|it| it.core.get()),
            notification
                .and_then(|it| visit.entry.find(it))
                .map(|it| it.core.get()),
        ];
        cores.into_iter().flatten().next().unwrap_or(u64::MAX)
    }

    /// Lets the thread that runs on its core begin a call, and delivers nothing.
    pub fn begin(&self, thread: u64, word: CallWord, arguments: &[u64]) {
        self.put_call(thread, word, arguments);
        self.trap(self.core_of(thread), crate::arch::Trap::Call);
    }
}
