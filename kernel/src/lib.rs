//! The portable capability kernel, generic over the machine.
//!
//! One `Kernel` serves all cores. A core enters it ([`Visit`]) with a [`arch::Trap`], the kernel changes objects and
//! decides, and [`Visit::next`] says what the core does then: return to a thread, enter a guest,
//! or idle. There is no kernel thread, no kernel heap and no wait inside the kernel.
//!
//! ```text
//!  trap ──> Visit::handle ──> call / ipc / fault / guest / delete ──> sched ──> Visit::next ──> resume
//! ```
#![cfg_attr(not(any(test, feature = "fake")), no_std)]
#![forbid(unsafe_code)]

pub mod arch;
pub mod boot;
pub mod call;
pub mod cap;
pub mod core_state;
pub mod deadline;
pub mod delete;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod fast;
pub mod fault;
pub mod guest;
pub mod ipc;
pub mod memory;
pub mod object;
pub mod queue;
pub mod ranges;
pub mod remote;
pub mod retype;
pub mod sched;
pub mod signal;
pub mod visit;
pub mod word;

use arch::Arch;
use arena::{Arena, Entry, Seat};
use cap::lock::CapLock;
use core::sync::atomic::Ordering;
use core_state::CoreState;
use delete::Round;
use word::Word;

pub use visit::{Next, Visit};

/// The kernel: what all cores share.
pub struct Kernel<A: Arch> {
    /// The machine.
    pub arch: A,
    arena: Arena,
    cores: &'static [CoreState],
    lock: CapLock,
    round: Round,
    online: Word,
    tags: [Word; memory::TAG_WORDS],
    identities: Word,
    interrupts: Word,
}

impl<A: Arch> Kernel<A> {
    /// Makes a kernel without any object, for as many cores as it is given states.
    #[must_use]
    pub fn new(arch: A, arena: Arena, cores: &'static [CoreState]) -> Self {
        Self {
            arch,
            arena,
            cores,
            lock: CapLock::new(),
            round: Round::new(),
            online: Word::new(0),
            tags: [const { Word::new(0) }; memory::TAG_WORDS],
            identities: Word::new(0),
            interrupts: Word::new(0),
        }
    }

    /// Returns the memory that objects live in.
    pub const fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Returns the cores that run, one bit each.
    pub fn online(&self) -> u64 {
        self.online.shared().load(Ordering::Acquire)
    }

    /// Notes that a core runs.
    pub fn core_online(&self, core: usize) {
        let online = self.online.shared();
        online.fetch_or(1 << core, Ordering::SeqCst);
    }

    /// Begins a kernel entry of core `core`; `None` where [`Arena::enter`] says so.
    #[inline]
    pub fn enter(&self, core: usize) -> Option<Visit<'_, A>> {
        Some(self.visit(self.arena.enter(core)?, self.core_at(core)))
    }

    /// Goes on with a kernel entry that was begun in this kernel's arena, of the core whose state
    /// this is.
    #[inline(always)]
    pub const fn visit<'k>(&'k self, entry: Entry<'k>, core: &'k CoreState) -> Visit<'k, A> {
        Visit {
            kernel: self,
            entry,
            core,
        }
    }

    /// Returns a core's seat in the arena, and the core's state.
    pub fn place_of(&self, core: usize) -> Option<(&'static Seat, &'static CoreState)> {
        self.arena.seat(core).zip(self.cores.get(core))
    }

    /// Returns the state of a core.
    #[inline(always)]
    fn core_at(&self, core: usize) -> &CoreState {
        match self.cores.get(core) {
            Some(state) => state,
            None => no_core(),
        }
    }
}

/// Reports a core number that no core has: numbers are checked where they come in.
///
/// # Panics
///
/// Always.
#[cold]
#[inline(never)]
fn no_core() -> ! {
    panic!("there is no core of this number")
}
