//! Drives a machine: lets whoever runs make a random call, and compares.

use super::generate::{Generator, read};
use super::reference::{Cap, Expect, Place, Reference};
use super::tally::Tally;
use super::{CORES, WINDOW};
use abi::exit::{AccessInfo, RouteKey};
use abi::fault::FaultKind;
use abi::{CallNumber, DeliveryKind, Error, MessageInfo, ObjectKind, Rights};
use kernel::arch::{Access, Exit, Trap};
use kernel::fake::Machine;
use kernel::fake::machine::Answer;
use kernel::object::execution::{State, flag};
use std::collections::HashMap;

/// A call that was begun.
struct Begun {
    number: CallNumber,
    x: [u64; 8],
    words: usize,
    /// Of a call, the word that the answer has to fit to.
    token: u64,
    /// The notification that is waited for.
    notification: Option<u64>,
}

pub struct Driver {
    machine: Machine,
    reference: Reference,
    begun: HashMap<u64, Begun>,
    /// The word of the caller that each server, or Reply, has.
    serving: HashMap<u64, u64>,
    pub trace: Vec<String>,
    modelled: bool,
    tokens: u64,
    /// Slots of ordinary and of device memory.
    sources: [u64; 2],
}

impl Driver {
    pub fn new(seed: u64, modelled: bool) -> Self {
        let machine = Machine::new(1 + usize::try_from(seed).expect("small") % CORES);
        machine.seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Long calls are made in steps of different lengths, down to the shortest.
        let step = [0, 300, 1, 700][usize::try_from(seed).expect("small") / CORES % 4];
        let place = &machine.kernel.arch.step;
        place.store(step, std::sync::atomic::Ordering::Relaxed);
        let mut driver = Self {
            machine,
            reference: Reference::default(),
            begun: HashMap::new(),
            serving: HashMap::new(),
            trace: Vec::new(),
            modelled,
            tokens: 1000,
            sources: [0; 2],
        };
        driver.reference.cores = driver.machine.cores() as u64;
        driver.sources = [driver.machine.pool(), driver.machine.devices()];
        for slot in [1, 2, 5, 6, 7, 8] {
            driver.adopt(slot);
        }
        for core in 0..driver.machine.cores() as u64 {
            for _ in 0..2 {
                let user = driver.machine.user(core);
                driver.adopt(user.slot);
                driver.adopt(user.budget);
                driver.adopt(user.page);
            }
        }
        for core in 0..driver.machine.cores() as u64 {
            driver.furnish(core);
        }
        driver.refill();
        driver.machine.check();
        driver
    }

    /// Makes objects that are used but never deleted.
    fn furnish(&mut self, core: u64) {
        use ObjectKind as Kind;
        let kinds = [
            Kind::Endpoint,
            Kind::Endpoint,
            Kind::Reply,
            Kind::Reply,
            Kind::Reply,
            Kind::Notification,
            Kind::Notification,
            Kind::Budget,
        ];
        for kind in kinds {
            let slot = self.machine.make(kind, core);
            self.adopt(slot);
        }
        for kind in [Kind::GuestSpace, Kind::Space] {
            let space = self.machine.make(kind, 0);
            let fund = self.machine.make(Kind::Untyped, 15);
            self.machine.must(CallNumber::Fund, &[space, fund]);
            self.adopt(space);
            if kind == Kind::Space {
                continue;
            }
            let [vcpu, budget, page] =
                [(Kind::Vcpu, core), (Kind::Budget, core), (Kind::Frame, 12)]
                    .map(|(kind, size)| self.machine.make(kind, size));
            self.machine
                .must(CallNumber::BudgetConfigure, &[budget, 1, 1]);
            for (binding, slot) in [(6, space), (2, page), (4, budget)] {
                self.machine
                    .must(CallNumber::VcpuBind, &[vcpu, binding, slot]);
            }
            let idle = self.machine.make(Kind::Vcpu, core);
            self.adopt(vcpu);
            self.adopt(idle);
        }
    }

    /// Puts a capability that the machine made into the reference.
    fn adopt(&mut self, slot: u64) {
        let answer = self.machine.init_call(CallNumber::Identify, &[slot]);
        let kind = ObjectKind::from_number(answer.value()).expect("a kind");
        let size = answer.x[5];
        let cap = Cap {
            kind,
            rights: Rights::from_bits(u16::try_from(answer.x[2]).expect("rights")),
            badge: answer.x[3],
            object: answer.x[4],
            order: match kind {
                ObjectKind::Untyped | ObjectKind::CapTable => size.ilog2(),
                _ => u32::try_from(size).expect("an order"),
            },
            original: true,
            device: answer.x[4] >= kernel::fake::machine::DEVICES,
            used: 0,
            parent: None,
            mapped: None,
        };
        self.reference.caps.insert(Place::Slot(slot), cap);
    }

    /// Makes untyped memory where the window has none.
    fn refill(&mut self) {
        let init = self.machine.init;
        if self.begun.contains_key(&init) || self.machine.state(init) != State::Ready {
            return;
        }
        let [pool, devices] = self.sources;
        let untyped = ObjectKind::Untyped.number();
        for (slot, from, order) in [(0, pool, 17), (1, pool, 15), (2, devices, 31)] {
            let slot = WINDOW.start + slot;
            if self.reference.caps.contains_key(&Place::Slot(slot)) {
                continue;
            }
            let made = self
                .machine
                .init_call(CallNumber::Retype, &[from, untyped, order, 1, slot]);
            if made.status().is_ok() {
                self.adopt(slot);
            }
        }
    }

    /// Makes random calls until so many were made, or nobody can go on.
    pub fn run(&mut self, calls: u64, every: u64, tally: &mut Tally) {
        let mut idle = 0;
        let end = tally.calls() + calls;
        while tally.calls() < end && idle < 200 {
            let before = tally.calls();
            self.step(tally);
            if !self.modelled && tally.calls() != before && !tally.calls().is_multiple_of(every) {
                continue;
            }
            self.machine.settle();
            self.collect(tally);
            if tally.calls() == before {
                idle += 1;
                continue;
            }
            idle = 0;
            if tally.calls().is_multiple_of(every) {
                self.machine.check();
                self.compare();
                self.refill();
            }
        }
        self.machine.settle();
        self.machine.check();
    }

    /// Lets one core do something.
    fn step(&mut self, tally: &mut Tally) {
        let core = self.machine.random(self.machine.cores());
        match self.machine.random(40) {
            0 => {
                self.machine
                    .kernel
                    .arch
                    .now
                    .fetch_add(7, std::sync::atomic::Ordering::SeqCst);
            }
            1 if !self.modelled => {
                let line = u32::try_from(self.machine.random(16)).expect("small");
                self.machine.kernel.arch.raise_line(core, line);
            }
            2..5 => {
                let address = (3 << 30) + self.machine.random(4) as u64 * 4096;
                if self.modelled {
                    self.machine.touch(core, address, read());
                    self.machine.touch_guest(core, address, read());
                }
            }
            5..15 if !self.modelled => {
                self.machine.deliver(core);
            }
            _ => {}
        }
        let Some(current) = self.machine.current(core) else {
            let ticks = if self.modelled { 1 } else { 25 };
            let now = &self.machine.kernel.arch.now;
            now.fetch_add(ticks, std::sync::atomic::Ordering::SeqCst);
            return;
        };
        if self.machine.with_thread(current, |_| ()).is_none() {
            return self.leave_guest(core);
        }
        if self.machine.is_calling(current) {
            self.machine.trap(core, Trap::Call);
            return;
        }
        self.collect_one(current, tally);
        self.call(core, current, tally);
    }

    /// Lets a guest leave.
    fn leave_guest(&self, core: usize) {
        let access = AccessInfo::new()
            .with_instruction_length(4)
            .with_register(3);
        let exit = match self.machine.random(6) {
            0 => Exit::Hypercall,
            1 => Exit::Idle,
            2 => Exit::Instruction { bits: 1 },
            4 => Exit::Window { lines: 1 },
            3 => Exit::Access(Access {
                key: RouteKey::Device,
                address: 0x1008,
                virtual_address: 0,
                cause: 1,
                description: access.into_bits(),
            }),
            _ => Exit::Other { details: [1, 2, 3] },
        };
        self.machine.trap(core, Trap::Exit(exit));
    }

    /// Lets a thread make a random call.
    fn call(&mut self, core: usize, thread: u64, tally: &mut Tally) {
        let has_page = self
            .machine
            .with_thread(thread, |it| !it.message_page().tag().is_empty());
        let generator = Generator {
            machine: &self.machine,
            reference: &self.reference,
            core: core as u64,
            may_wait: thread != self.machine.init,
            any_priority: !self.modelled,
        };
        let (number, word, mut x) = generator.call();
        if has_page == Some(true) {
            generator.fill_page(thread);
        }
        self.tokens += 10;
        let server = match number {
            CallNumber::Reply | CallNumber::ReplyReceive => Some(thread),
            CallNumber::ReplyTo => self.object(x[0]),
            _ => None,
        };
        match number {
            CallNumber::Call => x[1] = self.tokens,
            _ if server.is_some() => {
                let served = server.and_then(|server| self.serving.get(&server));
                x[1] = served.map_or(0, |token| token + 1);
            }
            _ => {}
        }
        tally.called(number);
        self.trace.push(format!(
            "core {core} thread {thread:x}: {number:?} {:?} {x:x?}",
            word.info()
        ));
        let expected = self.reference.predict(number, &x);
        let begun = Begun {
            number,
            x,
            words: word.info().words(),
            token: self.tokens,
            notification: self.object(x[0]),
        };
        self.begun.insert(thread, begun);
        if self.modelled {
            self.machine.start(thread, word, &x);
            let answer = self.finish(thread);
            let is_deletion = matches!(number, CallNumber::Delete | CallNumber::Revoke);
            if is_deletion && answer.is_none() {
                // It took what it runs with away before the end, or its client's time ended in it: nobody
                // knows how far it came.
                self.assert_cannot_run(thread);
                self.modelled = false;
            }
            if let Some(answer) = answer {
                self.done(thread, &answer, Some(expected), tally);
            }
        } else {
            self.machine.begin(thread, word, &x);
        }
    }

    /// Lets a call go on to its end, or until it waits for somebody: one that is made in steps is over
    /// before another begins, also where the thread's time ends in between.
    fn finish(&self, thread: u64) -> Option<Answer> {
        for _ in 0..1000 {
            let answer = self.machine.finish(thread);
            let lives = self.machine.with_thread(thread, |_| ()).is_some();
            let goes_on = |state| matches!(state, State::Exhausted | State::Ready);
            if answer.is_some() || !lives || !goes_on(self.machine.state(thread)) {
                return answer;
            }
            self.machine.advance(1);
        }
        None
    }

    /// Fails where a thread that gave no answer still could: a call that hangs is none that destroyed
    /// its own caller, and none in which a server's time and grace ended.
    fn assert_cannot_run(&self, thread: u64) {
        let is_late = self.machine.with_thread(thread, |thread| {
            let execution = thread.execution();
            let info = MessageInfo::from_bits(execution.info.get() as u32);
            execution.flags() & flag::FAULTED != 0 && info.label() == FaultKind::Timeout as u16
        });
        if is_late == Some(false) {
            let state = self.machine.state(thread);
            assert_eq!(state, State::Stopped, "a deletion without an answer");
        }
    }

    fn object(&self, slot: u64) -> Option<u64> {
        self.reference
            .caps
            .get(&Place::Slot(slot))
            .map(|cap| cap.object)
    }

    /// Looks whether calls that waited are done.
    fn collect(&mut self, tally: &mut Tally) {
        let threads: Vec<u64> = self.begun.keys().copied().collect();
        for thread in threads {
            if self.machine.with_thread(thread, |_| ()).is_none() {
                self.begun.remove(&thread);
                self.machine.forget(thread);
            } else {
                self.collect_one(thread, tally);
            }
        }
    }

    fn collect_one(&mut self, thread: u64, tally: &mut Tally) {
        if let Some(answer) = self.machine.answer(thread) {
            self.done(thread, &answer, None, tally);
        }
    }

    /// Compares what a call answered with what the reference says, and lets the reference follow.
    fn done(&mut self, thread: u64, answer: &Answer, expected: Option<Expect>, tally: &mut Tally) {
        let Some(begun) = self.begun.remove(&thread) else {
            return;
        };
        let (number, status) = (begun.number, answer.status());
        tally.answered(number, status);
        if !self.modelled {
            // Its calls overlap: the reference only gives the generator an idea of what there is.
            self.follow_loosely(&begun, status);
            return;
        }
        match expected {
            Some(Expect::Exactly(wanted)) => {
                let lacks = number == CallNumber::Map && status == Err(Error::NeedsMemory);
                let lacks = lacks && wanted == Err(Error::AlreadyMapped);
                assert!(
                    lacks || status == wanted,
                    "{number:?} answers {status:?}, not {wanted:?}"
                );
            }
            Some(Expect::OrElse(error)) => {
                assert!(
                    status == Ok(()) || status == Err(error),
                    "{number:?} answers {status:?}"
                );
            }
            Some(Expect::Any) | None => {}
        }
        if number == CallNumber::Unmap
            && status == Err(Error::NotMapped)
            && let Some(cap) = self.reference.caps.get_mut(&Place::Slot(begun.x[0]))
        {
            cap.mapped = None;
        }
        if status.is_ok() {
            self.reference.apply(number, &begun.x);
            self.follow(thread, &begun, answer);
        }
    }

    /// Lets the reference follow a call that succeeded.
    fn follow(&mut self, thread: u64, begun: &Begun, answer: &Answer) {
        match begun.number {
            CallNumber::InterruptTake => self.adopt_child(begun.x[0], begun.x[2]),
            CallNumber::Retype if begun.x[1] == ObjectKind::Thread.number() => {
                for slot in begun.x[4]..begun.x[4] + begun.x[3] {
                    let object = self.object(slot).expect("just made");
                    self.machine.forget(object);
                    self.begun.remove(&object);
                    self.serving.remove(&object);
                }
            }
            CallNumber::Wait => {
                let object = begun.notification.expect("it was there");
                assert_eq!(
                    answer.x[1],
                    self.reference.bits.remove(&object).unwrap_or(0),
                    "no bit is lost"
                );
            }
            CallNumber::Receive | CallNumber::ReplyReceive => {
                self.serving.remove(&thread);
                if answer.info.kind() == DeliveryKind::Notification as u8 {
                    let bound = self
                        .reference
                        .caps
                        .get(&Place::Inner(thread, 5))
                        .expect("bound");
                    let object = bound.object;
                    assert_eq!(
                        answer.x[1],
                        self.reference.bits.remove(&object).unwrap_or(0),
                        "no bit is lost"
                    );
                } else if answer.info.kind() == DeliveryKind::Call as u8 && answer.info.words() > 0
                {
                    self.serving.insert(thread, answer.x[1]);
                }
            }
            CallNumber::Call if begun.words > 0 && answer.info.words() > 0 && answer.x[1] != 0 => {
                assert_eq!(
                    answer.x[1],
                    begun.token + 1,
                    "everyone gets the answer to his own call"
                );
            }
            CallNumber::SaveReply => {
                let reply = begun.notification.expect("it was there");
                match self.serving.remove(&thread) {
                    Some(token) => self.serving.insert(reply, token),
                    None => self.serving.remove(&reply),
                };
            }
            CallNumber::Reply => drop(self.serving.remove(&thread)),
            _ => {}
        }
    }

    /// Puts a new capability into the reference as a child of another.
    fn adopt_child(&mut self, parent: u64, slot: u64) {
        let Some(entry) = self.machine.look(slot) else {
            return;
        };
        let cap = Cap {
            kind: ObjectKind::Interrupt,
            rights: Rights::ALL,
            badge: 0,
            object: entry.object,
            order: 0,
            original: true,
            device: false,
            used: 0,
            parent: Some(Place::Slot(parent)),
            mapped: None,
        };
        self.reference.caps.insert(Place::Slot(slot), cap);
    }

    /// Reads the table again where the order of calls is not known.
    fn follow_loosely(&mut self, begun: &Begun, status: Result<(), Error>) {
        if status.is_err() {
            return;
        }
        if begun.number == CallNumber::Retype && begun.x[1] == ObjectKind::Thread.number() {
            for slot in begun.x[4]..begun.x[4] + begun.x[3] {
                if let Some(seen) = self.machine.look(slot) {
                    self.machine.forget(seen.object);
                }
            }
        }
        for slot in WINDOW {
            match self.machine.look(slot) {
                Some(seen) => {
                    let cap = Cap {
                        kind: seen.kind,
                        rights: seen.rights,
                        badge: 0,
                        object: seen.object,
                        order: u32::from(seen.order),
                        original: seen.original,
                        device: seen.device,
                        used: seen.used,
                        parent: None,
                        mapped: seen.mapped.then_some((0, 0, 0)),
                    };
                    self.reference.caps.insert(Place::Slot(slot), cap);
                }
                None => drop(self.reference.caps.remove(&Place::Slot(slot))),
            }
        }
    }

    /// Compares every slot of the window with the reference.
    fn compare(&self) {
        if !self.modelled {
            return;
        }
        for slot in WINDOW {
            let cap = self.reference.caps.get(&Place::Slot(slot));
            match (cap, self.machine.look(slot)) {
                (None, None) => {}
                (Some(cap), Some(seen)) => {
                    assert_eq!(
                        (cap.kind, cap.rights, cap.object),
                        (seen.kind, seen.rights, seen.object)
                    );
                    assert_eq!(cap.original, seen.original, "slot {slot}");
                    if cap.kind == ObjectKind::Untyped {
                        assert_eq!(cap.used, seen.used, "slot {slot}");
                    }
                    if matches!(cap.kind, ObjectKind::Endpoint | ObjectKind::Notification) {
                        assert_eq!(cap.badge, seen.badge, "slot {slot}");
                    }
                }
                (cap, seen) => panic!("slot {slot}: {cap:?} and {seen:?}"),
            }
        }
    }
}
