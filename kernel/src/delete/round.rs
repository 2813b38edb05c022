//! The round through all cores.

use crate::Visit;
use crate::arch::{Arch, SpaceTag};
use crate::call::Outcome;
use crate::cap::slot::{SlotRef, Tag};
use crate::object::execution::{Execution, ExecutionRef, State};
use crate::word::{Link, Word};
use arena::Entry;
use core::sync::atomic::Ordering;

/// The most slots that die in one round.
pub const BATCH: usize = 16;

/// What becomes of the caller when the round is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its call is done.
    Finish,
    /// It makes its call again.
    Restart,
}

impl Ending {
    /// Returns the outcome of the call where there is no round to wait for.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Finish => Outcome::ok(),
            Self::Restart => Outcome::Waiting,
        }
    }
}

/// `Round::phase`: no round.
const IDLE: u64 = 0;
/// `Round::phase`: cores retire what dies.
const RETIRE: u64 = 1;
/// `Round::phase`: cores drain their inboxes.
const DRAIN: u64 = 2;
/// `Round::flush`: the translations of every process.
const FLUSH_ALL: u64 = u64::MAX;

/// The one round that may be under way; all of it belongs to the holder of the capability lock.
pub struct Round {
    phase: Word,
    count: Word,
    slots: [Word; BATCH],
    tags: [Word; BATCH],
    releases: [[Word; 2]; BATCH],
    release_count: Word,
    drain: Word,
    /// Tag plus one of the process whose translations are flushed, 0, or [`FLUSH_ALL`].
    flush: Word,
    flush_guests: Word,
    caller: Link<Execution>,
    core: Word,
    restart: Word,
}

impl Round {
    /// Makes the state without a round.
    pub(crate) const fn new() -> Self {
        Self {
            phase: Word::new(IDLE),
            count: Word::new(0),
            slots: [const { Word::new(0) }; BATCH],
            tags: [const { Word::new(0) }; BATCH],
            releases: [const { [Word::new(0), Word::new(0)] }; BATCH],
            release_count: Word::new(0),
            drain: Word::new(0),
            flush: Word::new(0),
            flush_guests: Word::new(0),
            caller: Link::none(),
            core: Word::new(0),
            restart: Word::new(0),
        }
    }

    /// Returns whether the lock stays taken when the call returns.
    pub fn keeps_lock(&self) -> bool {
        self.phase.get() != IDLE
    }

    /// Returns the core on which the round began.
    pub fn core(&self) -> usize {
        usize::try_from(self.core.get()).unwrap_or(usize::MAX)
    }

    /// Returns whether no other slot can be added, with what it may release: itself and its parent.
    pub fn is_full(&self) -> bool {
        self.len() >= BATCH || self.release_count.get() > BATCH as u64 - 2
    }

    /// Returns the number of slots that die.
    pub fn len(&self) -> usize {
        usize::try_from(self.count.get()).unwrap_or(BATCH)
    }

    /// Returns whether no slot dies.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a slot, whose tag was `tag` before it was marked as dying.
    pub fn add(&self, slot: SlotRef, tag: Tag) {
        let at = self.len();
        if let (Some(place), Some(kept)) = (self.slots.get(at), self.tags.get(at)) {
            place.set(slot.address());
            kept.set(tag.into_bits());
            self.count.add(1);
        }
    }

    /// Returns the slots that die, with the tags that they had.
    pub fn items(&self) -> impl Iterator<Item = (SlotRef, Tag)> + '_ {
        let both = self.slots.iter().zip(&self.tags).take(self.len());
        both.filter_map(|(slot, tag)| {
            let slot = SlotRef::from_address(slot.get())?;
            Some((slot, Tag::from_bits(tag.get())))
        })
    }

    /// Turns a range back into raw memory at the end.
    pub fn release(&self, base: u64, length: u64) {
        let at = usize::try_from(self.release_count.get()).unwrap_or(BATCH);
        if let Some([place, bytes]) = self.releases.get(at) {
            place.set(base);
            bytes.set(length);
            self.release_count.add(1);
        }
    }

    /// Drains the inboxes of all cores before memory is reused.
    pub fn drain_inboxes(&self) {
        self.drain.set(1);
    }

    /// Flushes the translations of a process on all cores.
    pub fn flush_space(&self, tag: SpaceTag) {
        let wanted = tag.0 + 1;
        let present = self.flush.get();
        let is_one = present == 0 || present == wanted;
        self.flush.set(if is_one { wanted } else { FLUSH_ALL });
    }

    /// Returns whether there is something for a round to do.
    pub fn is_needed(&self) -> bool {
        let [count, released] = [&self.count, &self.release_count].map(Word::get);
        count | released | self.flush.get() | self.flush_guests.get() != 0
    }

    /// Flushes the translations of all guests on all cores.
    pub fn flush_guests(&self) {
        self.flush_guests.set(1);
    }

    /// Forgets the caller, which dies in this round.
    pub fn forget_caller(&self, dying: ExecutionRef) {
        if self.caller.get() == Some(dying) {
            self.caller.set(None);
        }
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Begins the round that was prepared; the caller is parked until it is over.
    pub(crate) fn begin_round(&self, caller: ExecutionRef, ending: Ending) -> Outcome {
        self.round.caller.set(Some(caller));
        self.round.core.set(self.entry.core() as u64);
        self.round.restart.set(u64::from(ending == Ending::Restart));
        let execution = self.execution(caller);
        if execution.core_index() == self.entry.core() {
            execution.set_state(State::Parked);
        }
        self.begin_phase(RETIRE);
        Outcome::Waiting
    }

    /// Begins a phase on all cores.
    fn begin_phase(&self, phase: u64) {
        self.round.phase.shared().store(phase, Ordering::Release);
        let online = self.online();
        self.arena().grace().begin(online);
        let others = online & !(1 << self.entry.core());
        if others != 0 {
            self.arch.send_ipi(others);
        }
    }

    /// Does this core's part of a round, and ends the round where it began here.
    pub(crate) fn rounds(&mut self) {
        while self.round.phase.shared().load(Ordering::Acquire) != IDLE {
            if self.arena().grace().waits_for(self.entry.core()) {
                self.take_part();
                let grace = self.kernel.arena().grace();
                let last = grace.acknowledge(&mut self.entry);
                if last && self.round.core.get() != self.entry.core() as u64 {
                    self.arch.send_ipi(1 << self.round.core.get());
                }
            }
            let mine = self.round.core.get() == self.entry.core() as u64;
            if !mine || !self.arena().grace().is_over() {
                return;
            }
            self.end_phase();
        }
    }

    /// Does this core's part of a phase.
    fn take_part(&self) {
        if self.round.phase.get() == DRAIN {
            return self.drain_inbox();
        }
        self.retire();
        match self.round.flush.get() {
            0 => {}
            FLUSH_ALL => self.arch.flush_all_spaces(),
            tag => self.arch.flush_space(SpaceTag(tag - 1)),
        }
        if self.round.flush_guests.get() != 0 {
            self.arch.flush_guests();
        }
    }

    /// Goes on when every core has acknowledged a phase.
    fn end_phase(&mut self) {
        let (kernel, arena) = (self.kernel, self.kernel.arena());
        let drain = self.round.phase.get() == RETIRE && self.round.drain.get() != 0;
        if drain {
            let _ = arena.grace().finish(&mut self.entry);
            return self.begin_phase(DRAIN);
        }
        for (slot, _) in self.round.items() {
            self.slot(slot).set_tag(Tag::new());
        }
        if let Some(quiescent) = arena.grace().finish(&mut self.entry) {
            let round = &kernel.round;
            let count = usize::try_from(round.release_count.get()).unwrap_or(BATCH);
            for [base, length] in round.releases.iter().take(count) {
                let released = Entry::release(arena, base.get(), length.get(), &quiescent);
                debug_assert!(released.is_ok(), "untyped memory is made of pages");
            }
        }
        self.end_round();
    }

    /// Ends the round: the lock is free, and the caller goes on.
    fn end_round(&self) {
        let round = &self.round;
        let caller = round.caller.take();
        let restart = round.restart.get() != 0;
        let counts = [&round.count, &round.release_count, &round.drain];
        let flushes = [&round.flush, &round.flush_guests];
        for word in counts.into_iter().chain(flushes) {
            word.set(0);
        }
        round.phase.shared().store(IDLE, Ordering::Release);
        self.unlock();
        if let Some(caller) = caller {
            let thread = self.thread(caller);
            if !restart {
                crate::arch::UserFrame::complete(&thread.frame);
            }
            if thread.execution().core_index() == self.entry.core() {
                self.unpark(caller);
            } else {
                self.send_home(caller);
            }
        }
    }
}
