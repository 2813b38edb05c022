//! A booted kernel on a fake machine, and its users' hands: traps, system calls, time, interrupts
//! and memory accesses.

use super::tlb::{Cached, Key};
use super::{CORES, FakeArch, FakeFrame, on_core};
use crate::arch::{Arch, Stage, TableEntry, Trap, UserFrame};
use crate::boot::{BootPlan, Range};
use crate::core_state::CoreState;
use crate::fast::Fast;
use crate::object::execution::{ExecutionRef, State};
use crate::object::space::AddressSpace;
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use crate::{Kernel, Next, Visit};
use abi::bundle;
use abi::{CallNumber, CallWord, Error, MessageInfo, PAGE_SIZE, Rights};
use arena::{Arena, Handle};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::Mutex;
use std::vec::Vec;

/// First physical address of ordinary memory.
pub const MEMORY: u64 = 0x8000_0000;
/// Pages of ordinary memory.
pub const PAGES: usize = 4096;
/// First physical address of device memory.
pub const DEVICES: u64 = 0x40_0000_0000;
/// Bytes of device memory.
pub const DEVICE_BYTES: u64 = 4 << 30;
/// Pages of the boot bundle, at the end of ordinary memory.
const BUNDLE_PAGES: u64 = 4;
/// How often something may go on before it is taken to go on for ever.
const PATIENCE: usize = 100_000;

/// What a system call gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// x0 to x8.
    pub x: [u64; 9],
    /// The information word.
    pub info: MessageInfo,
}

impl Answer {
    /// Returns the status.
    pub fn status(&self) -> Result<(), Error> {
        match self.x[0] {
            0 => Ok(()),
            number => Err(Error::from_number(number).expect("a status is an error's number")),
        }
    }

    /// Returns the first result.
    #[track_caller]
    pub fn value(&self) -> u64 {
        self.status().expect("the call succeeds");
        self.x[1]
    }
}

/// A kernel on a fake machine.
pub struct Machine {
    /// The kernel.
    pub kernel: Kernel<FakeArch>,
    /// Address of the first process's thread.
    pub init: u64,
    /// Leaves that boot made in the first process's space: address to physical address.
    pub boot_leaves: HashMap<u64, u64>,
    /// Address of the first process's table.
    pub table: u64,
    pub(super) next_slot: AtomicU64,
    cores: usize,
    random: AtomicU64,
    /// Calls that were begun: the thread, and how many it had completed before.
    begun: Mutex<HashMap<u64, u64>>,
    answers: Mutex<HashMap<u64, Answer>>,
    general_only: AtomicBool,
    fast_calls: AtomicU64,
}

impl Machine {
    /// Boots a kernel on a machine of `cores` cores.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self::with(cores, FakeArch::default())
    }

    /// Boots a kernel on a machine of `cores` cores that was prepared.
    #[must_use]
    pub fn with(cores: usize, arch: FakeArch) -> Self {
        Self::with_online(cores, arch, |_| true)
    }

    /// Boots a kernel on a machine of which only some cores come up, core 0 among them.
    #[must_use]
    pub fn with_online(cores: usize, arch: FakeArch, is_online: impl Fn(usize) -> bool) -> Self {
        assert!((1..=CORES).contains(&cores), "there are that many cores");
        let states = (0..abi::MAX_CORES)
            .map(|_| CoreState::new())
            .collect::<Vec<_>>();
        let states: &'static [CoreState] = Box::leak(states.into_boxed_slice());
        let kernel = Kernel::new(arch, Arena::on_host(MEMORY, PAGES), states);
        for core in (0..cores).filter(|core| is_online(*core)) {
            kernel.core_online(core);
        }
        let mut machine = Self {
            kernel,
            init: 0,
            table: 0,
            boot_leaves: HashMap::new(),
            next_slot: AtomicU64::new(128),
            cores,
            random: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
            begun: Mutex::default(),
            answers: Mutex::default(),
            general_only: AtomicBool::new(false),
            fast_calls: AtomicU64::new(0),
        };
        let bytes = tiny_bundle();
        let pages = PAGES as u64 - BUNDLE_PAGES;
        let plan = BootPlan {
            memory: &[Range {
                base: MEMORY,
                length: pages * PAGE_SIZE,
            }],
            devices: &[Range {
                base: DEVICES,
                length: DEVICE_BYTES,
            }],
            bundle: Range {
                base: MEMORY + pages * PAGE_SIZE,
                length: BUNDLE_PAGES * PAGE_SIZE,
            },
            bytes: &bytes,
            ticks_per_second: 1_000_000,
            device_tree: Range { base: 0, length: 0 },
            features: [0; 4],
            seed: [0; 4],
            nodes: &[],
        };
        let mut visit = machine.visit(0);
        visit.boot(&plan).expect("the plan is good");
        visit.settle();
        drop(visit);
        machine.init = machine.current(0).expect("the first process runs");
        machine.table = machine.address(u64::from(abi::boot::SLOT_CAP_TABLE));
        machine.boot_leaves = machine.leaves_of_init();
        machine
    }

    /// Returns the number of cores.
    pub const fn cores(&self) -> usize {
        self.cores
    }

    /// Seeds the order in which interrupts are delivered.
    pub fn seed(&self, seed: u64) {
        self.random.store(seed | 1, Ordering::Relaxed);
    }

    /// Returns a random number below `limit`.
    pub fn random(&self, limit: usize) -> usize {
        let mut state = self.random.load(Ordering::Relaxed);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.store(state, Ordering::Relaxed);
        usize::try_from((state >> 11) % limit as u64).unwrap()
    }

    /// Enters the kernel on a core.
    pub fn visit(&self, core: usize) -> Visit<'_, FakeArch> {
        on_core(core);
        let visit = self.kernel.enter(core);
        visit.expect("a core enters the kernel once at a time")
    }

    /// Leaves every call to the general path, as a kernel without fast paths does.
    pub fn leave_all_to_the_general_path(&self) {
        self.general_only.store(true, Ordering::Relaxed);
    }

    /// Returns what a thread's call gave, if it is done.
    pub fn finish_if_done(&self, thread: u64) -> Option<Answer> {
        self.is_done(thread).then(|| self.answer(thread)).flatten()
    }

    /// Returns every word of every object, and what the cores have: two machines on which the same
    /// happened have the same.
    pub fn image(&self) -> Vec<u64> {
        let mut image = self.without_noted_leaves(|| self.kernel.arena().object_words());
        for core in self.kernel.cores.iter().take(self.cores) {
            let links = [
                core.current.address(),
                core.budget.address(),
                core.deadlines.address(),
            ];
            image.extend(links);
            image.extend([core.ready_bits.get(), core.loaded_space.get()]);
        }
        image
    }

    /// Returns whether calls are tried on the fast path first.
    fn takes_fast_paths(&self) -> bool {
        !self.general_only.load(Ordering::Relaxed)
    }

    /// Returns how many traps took a fast path.
    pub fn fast_paths_taken(&self) -> u64 {
        self.fast_calls.load(Ordering::Relaxed)
    }

    /// Lets a core trap, and leave the kernel again.
    pub fn trap(&self, core: usize, trap: Trap) {
        let mut visit = self.visit(core);
        let fast = match &trap {
            _ if !self.takes_fast_paths() => None,
            Trap::Call => fast_call(&visit),
            Trap::Exit(exit) => visit
                .current_vcpu()
                .and_then(|it| visit.fast_exit(it, exit)),
            _ => {
                let thread = visit.current_thread();
                thread.and_then(|thread| visit.fast_fault(thread, trap))
            }
        };
        if let Some(fast) = fast {
            self.fast_calls.fetch_add(1, Ordering::Relaxed);
            match fast {
                Fast::Behind(resume) => resume.from.frame.hand_over(&resume),
                Fast::Message(message) => message.to.frame.receive(&message),
                Fast::Thread(_) | Fast::Guest(..) => {}
            }
            return;
        }
        visit.handle(trap);
        match visit.next() {
            Next::Thread(_) | Next::Guest(..) | Next::Idle => {}
        }
    }

    /// Returns the address of what runs on a core.
    pub fn current(&self, core: usize) -> Option<u64> {
        Some(self.kernel.cores[core].current.get()?.address())
    }

    /// Returns whether a vCPU runs on a core.
    pub fn in_guest(&self, core: usize) -> bool {
        matches!(self.visit(core).next(), Next::Guest(..))
    }

    /// Looks at a thread, or returns `None` where none is at that address.
    pub fn with_thread<R>(
        &self,
        thread: u64,
        look: impl FnOnce(&Thread<FakeArch>) -> R,
    ) -> Option<R> {
        let visit = self.visit(0);
        let handle = Handle::<Thread<FakeArch>>::from_address(thread)?;
        visit.entry.find(handle).map(look)
    }

    /// Looks at a vCPU, or returns `None` where none is at that address.
    pub fn with_vcpu<R>(&self, vcpu: u64, look: impl FnOnce(&Vcpu<FakeArch>) -> R) -> Option<R> {
        let visit = self.visit(0);
        let handle = Handle::<Vcpu<FakeArch>>::from_address(vcpu)?;
        visit.entry.find(handle).map(look)
    }

    /// Returns the state of a thread or vCPU.
    pub fn state(&self, item: u64) -> State {
        let item = ExecutionRef::from_address(item).expect("an address is not zero");
        self.visit(0).execution(item).state()
    }

    /// Returns the core of a thread or vCPU.
    pub fn core_of(&self, item: u64) -> usize {
        let item = ExecutionRef::from_address(item).expect("an address is not zero");
        self.visit(0).execution(item).core_index()
    }

    /// Delivers one thing that waits at a core; returns whether there was any.
    pub fn deliver(&self, core: usize) -> bool {
        let fake = &self.kernel.arch.cores[core];
        if fake.ipi.swap(0, Ordering::SeqCst) != 0 {
            self.trap(core, Trap::Ipi);
        } else if self.kernel.arch.has_external(core) {
            self.trap(core, Trap::External);
        } else if fake.timer.load(Ordering::SeqCst) <= self.kernel.arch.now() {
            // A timer fires once for each time that it is set.
            fake.timer.store(u64::MAX, Ordering::SeqCst);
            self.trap(core, Trap::Timer);
        } else {
            return false;
        }
        true
    }

    /// Delivers everything that waits, in a random order.
    pub fn settle(&self) {
        for _ in 0..PATIENCE {
            let first = self.random(self.cores);
            let mut order = (0..self.cores).map(|index| (first + index) % self.cores);
            if !order.any(|core| self.deliver(core)) {
                return;
            }
        }
        panic!("interrupts go on for ever");
    }

    /// Lets time pass, and delivers the timers that fire.
    pub fn advance(&self, ticks: u64) {
        self.kernel.arch.now.fetch_add(ticks, Ordering::SeqCst);
        self.settle();
    }

    /// Lets a thread make a call of which it does not wait for the end.
    #[track_caller]
    pub fn start(&self, thread: u64, word: CallWord, arguments: &[u64]) {
        self.make_current(thread);
        self.put_call(thread, word, arguments);
        self.trap(self.core_of(thread), Trap::Call);
        self.settle();
    }

    /// Puts a call into the registers of a thread.
    pub(super) fn put_call(&self, thread: u64, word: CallWord, arguments: &[u64]) {
        self.with_thread(thread, |it| it.frame.set_call(word.into_bits(), arguments));
        let done = self.with_thread(thread, |it| it.frame.completed());
        let done = done.expect("the thread lives");
        self.begun.lock().unwrap().insert(thread, done);
    }

    /// Lets a thread make a call; `None` where it waits.
    #[track_caller]
    pub fn send(&self, thread: u64, word: CallWord, arguments: &[u64]) -> Option<Answer> {
        self.start(thread, word, arguments);
        self.finish(thread)
    }

    /// Lets a thread make a call; `None` where it waits.
    #[track_caller]
    pub fn try_call(&self, thread: u64, number: CallNumber, arguments: &[u64]) -> Option<Answer> {
        let number = u8::try_from(number.number()).unwrap();
        self.send(thread, CallWord::new().with_number(number), arguments)
    }

    /// Lets a thread make a call that does not wait.
    #[track_caller]
    pub fn call(&self, thread: u64, number: CallNumber, arguments: &[u64]) -> Answer {
        let answer = self.try_call(thread, number, arguments);
        answer.expect("the call does not wait")
    }

    /// Lets a thread that was begun a call go on with it for as long as it can; returns what the
    /// call gave when it is done.
    #[track_caller]
    pub fn finish(&self, thread: u64) -> Option<Answer> {
        for _ in 0..PATIENCE {
            if let Some(answer) = self.answer(thread) {
                return Some(answer);
            }
            self.with_thread(thread, |_| ())?;
            if self.state(thread) != State::Ready || !self.gets_its_turn(thread) {
                return None;
            }
            if self.answers.lock().unwrap().contains_key(&thread) || self.is_done(thread) {
                continue;
            }
            self.trap(self.core_of(thread), Trap::Call);
            self.settle();
        }
        panic!("a call goes on for ever");
    }

    /// Returns whether the call that a thread began is done.
    fn is_done(&self, thread: u64) -> bool {
        let begun = self.begun.lock().unwrap().get(&thread).copied();
        let done = self.with_thread(thread, |it| it.frame.completed());
        begun.is_some_and(|begun| done.is_some_and(|done| done > begun))
    }

    /// Returns whether a thread is inside a call.
    pub fn is_calling(&self, thread: u64) -> bool {
        self.begun.lock().unwrap().contains_key(&thread) && !self.is_done(thread)
    }

    /// Forgets that a thread began a call.
    pub fn forget(&self, thread: u64) {
        self.begun.lock().unwrap().remove(&thread);
        self.answers.lock().unwrap().remove(&thread);
    }

    /// Keeps what a call gave, before the registers are used for another.
    fn collect(&self, thread: u64) {
        if !self.is_done(thread) {
            return;
        }
        let read = |frame: &FakeFrame| Answer {
            x: frame.values(),
            info: MessageInfo::from_bits(u32::try_from(frame.info()).unwrap()),
        };
        let answer = self.with_thread(thread, |it| read(&it.frame));
        self.begun.lock().unwrap().remove(&thread);
        self.answers
            .lock()
            .unwrap()
            .insert(thread, answer.expect("it lives"));
    }

    /// Returns what the call of a thread gave, if it is done; once.
    pub fn answer(&self, thread: u64) -> Option<Answer> {
        self.collect(thread);
        self.answers.lock().unwrap().remove(&thread)
    }

    /// Lets the other threads of its core yield until `thread` runs.
    #[track_caller]
    pub fn make_current(&self, thread: u64) {
        let gets_there = self.gets_its_turn(thread);
        assert!(gets_there, "it cannot run: {:?}", self.state(thread));
    }

    /// Lets the other threads of its core yield until `thread` runs; `false` where it cannot run, or
    /// a guest does not yield.
    pub fn gets_its_turn(&self, thread: u64) -> bool {
        let core = self.core_of(thread);
        for _ in 0..PATIENCE {
            let current = self.current(core);
            if current == Some(thread) {
                return true;
            }
            let other = current.filter(|it| self.with_thread(*it, |_| ()).is_some());
            // What other threads go on with may stop it.
            let waits = !matches!(self.state(thread), State::Exhausted | State::Stopped);
            let Some(current) = other.filter(|_| waits) else {
                return false;
            };
            if !self.is_calling(current) {
                self.collect(current);
                let word = CallWord::new().with_number(CallNumber::Yield as u8);
                self.with_thread(current, |it| it.frame.set_call(word.into_bits(), &[]));
            }
            self.trap(core, Trap::Call);
            self.settle();
        }
        panic!("the thread never gets its turn: {:?}", self.state(thread));
    }

    /// Accesses memory as the user that runs on a core does; returns the physical address, or
    /// `None` where the access faults. A translation that was remembered is used, and must be the
    /// one in the tables.
    pub fn touch(&self, core: usize, address: u64, need: Rights) -> Option<u64> {
        let fake = &self.kernel.arch.cores[core];
        let [root, tag] = [0, 1].map(|index| fake.space[index].load(Ordering::SeqCst));
        let tag = tag.checked_sub(1)?;
        let key = Key::User(tag, address >> 12);
        self.access(core, (key, Stage::User, root), address, need)
    }

    /// Accesses memory as the guest that is loaded in a core does.
    pub fn touch_guest(&self, core: usize, address: u64, need: Rights) -> Option<u64> {
        let root = self.kernel.arch.cores[core]
            .guest_root
            .load(Ordering::SeqCst);
        let key = Key::Guest(root, address >> 12);
        (root != 0).then(|| self.access(core, (key, Stage::Guest, root), address, need))?
    }

    /// Accesses memory through a core's remembered translations, else through the tables.
    fn access(
        &self,
        core: usize,
        (key, stage, root): (Key, Stage, u64),
        address: u64,
        need: Rights,
    ) -> Option<u64> {
        let truth = self.translate(stage, root, address);
        let mut tlb = self.kernel.arch.cores[core].tlb.lock().unwrap();
        if let Some(cached) = tlb.find(key)
            && cached.access.covers(need)
        {
            let now = truth.expect("a stale translation of an unmapped page is used");
            assert_eq!(now.physical, cached.physical, "a stale translation is used");
            assert!(now.access.covers(need), "a stale translation allows more");
            return Some(cached.physical | (address % PAGE_SIZE));
        }
        let found = truth.filter(|found| found.access.covers(need))?;
        tlb.remember(key, found);
        Some(found.physical | (address % PAGE_SIZE))
    }

    /// Walks tables as the hardware does.
    pub fn translate(&self, stage: Stage, root: u64, address: u64) -> Option<Cached> {
        let visit = self.visit(0);
        let levels = self.kernel.arch.levels(stage);
        let mut table = root;
        for level in levels {
            let words = visit.entry.words(table, level.table_bytes())?;
            let word = words[level.index(address)].load(Ordering::Relaxed);
            match self.kernel.arch.decode(stage, word, level) {
                TableEntry::Empty => return None,
                TableEntry::Table(next) => table = next,
                TableEntry::Leaf { physical, access } => {
                    let within = address & ((1 << level.shift) - 1) & !(PAGE_SIZE - 1);
                    return (access != Rights::new()).then_some(Cached {
                        physical: physical + within,
                        access,
                    });
                }
            }
        }
        None
    }

    /// Returns the leaves of the first process's space.
    fn leaves_of_init(&self) -> HashMap<u64, u64> {
        let visit = self.visit(0);
        let space = self.kernel.cores[0].loaded_space.get();
        let space = Handle::<AddressSpace>::from_address(space).expect("a space is loaded");
        let space = visit.space(space);
        let mut leaves = HashMap::new();
        super::check::leaves(&visit, space, &[], &mut |leaf| {
            leaves.insert(leaf.address, leaf.physical);
        });
        leaves
    }

    /// Returns word `index` of a thread's message page.
    pub fn page_word(&self, thread: u64, index: usize) -> u64 {
        self.with_page(thread, |words| words[index].load(Ordering::Relaxed))
    }

    /// Sets word `index` of a thread's message page.
    pub fn set_page_word(&self, thread: u64, index: usize, value: u64) {
        self.with_page(thread, |words| words[index].store(value, Ordering::Relaxed));
    }

    /// Looks at a thread's message page.
    fn with_page<R>(&self, thread: u64, look: impl FnOnce(&[AtomicU64]) -> R) -> R {
        let visit = self.visit(0);
        let handle = Handle::<Thread<FakeArch>>::from_address(thread).expect("not zero");
        let page = visit.message_page(visit.entry.get(handle));
        look(page.expect("the thread has a message page"))
    }
}

/// Returns a bundle whose first process has one page of code.
#[must_use]
pub fn tiny_bundle() -> Vec<u8> {
    let page = 4096;
    let mut bytes = vec![0; 2 * page];
    bytes[..8].copy_from_slice(&bundle::MAGIC);
    bytes[8..16].copy_from_slice(&(2 * page as u64).to_le_bytes());
    bytes[20..24].copy_from_slice(&1_u32.to_le_bytes());
    bytes[32..40].copy_from_slice(&0x40_0000_u64.to_le_bytes());
    let row = bundle::HEADER_SIZE;
    let numbers = [page as u64, 16, 0x40_0000, 4096];
    for (index, number) in numbers.into_iter().enumerate() {
        let at = row + index * 8;
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    let flags = bundle::READ | bundle::WRITE | bundle::EXECUTE;
    bytes[row + 32..row + 36].copy_from_slice(&flags.to_le_bytes());
    bytes[page..page + 16].copy_from_slice(b"the first bytes.");
    let tables = bundle::HEADER_SIZE + bundle::SEGMENT_SIZE;
    let sum = bundle::crc32(&[
        &bytes[..16],
        &[0; 4],
        &bytes[20..tables],
        &bytes[page..page + 16],
    ]);
    bytes[16..20].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Makes a system call in the attempts that a machine makes before the general path.
fn fast_call<'e>(visit: &'e Visit<'_, FakeArch>) -> Option<Fast<'e, FakeArch>> {
    let thread = visit.current_thread()?;
    let call = [thread.frame.argument(0), thread.frame.call_word()];
    let is_signal = call[1] & 0xff == CallNumber::Signal.number();
    let wakes = || is_signal.then(|| visit.fast_wake(thread, call[0]))?;
    let short = visit.fast_call::<false, false>(thread, call);
    let long = short.or_else(|| visit.fast_call::<false, true>(thread, call));
    let any = long.or_else(wakes);
    let is_reply = call[1] & 0xff == CallNumber::ReplyReceive.number();
    if is_reply && any.is_none() && visit.answered_guest(thread).is_some() {
        let word = |index| thread.frame.argument(index + 1);
        let answer = visit.fast_answer(thread, [call[0], call[1] >> 32], word);
        if answer.is_some() {
            return answer;
        }
    }
    any.or_else(|| visit.fast_call::<true, true>(thread, call))
}
