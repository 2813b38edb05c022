//! The portable capability kernel, generic over the machine.
//!
//! One `Kernel` serves all cores. A core enters it with a [`Trap`], the kernel changes objects and
//! decides, and [`Kernel::next`] says what the core does then: return to a thread, enter a guest,
//! or idle. There is no kernel thread, no kernel heap and no wait inside the kernel.
//!
//! ```text
//!  trap ──> Kernel::handle ──> call / ipc / fault / guest / delete ──> sched ──> Kernel::next ──> resume
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
pub mod word;

use arch::{Arch, Trap};
use arena::{Arena, Entry};
use cap::lock::CapLock;
use core_state::CoreState;
use delete::Round;
use object::execution::Execution;
use object::thread::Thread;
use object::vcpu::Vcpu;
use word::Word;

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

/// What a core does when it leaves the kernel.
pub enum Next<'e, A: Arch> {
    /// It returns to a thread.
    Thread(&'e Thread<A>),
    /// It enters a guest, whose general registers are in the page at this physical address.
    Guest(&'e Vcpu<A>, u64),
    /// It waits for an interrupt.
    Idle,
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
        self.online
            .shared()
            .load(core::sync::atomic::Ordering::Acquire)
    }

    /// Handles a trap of the core that `entry` belongs to.
    pub fn handle(&self, entry: &mut Entry<'_>, trap: Trap) {
        self.leave_guest(
            entry,
            matches!(trap, Trap::Timer | Trap::Ipi | Trap::External),
        );
        match trap {
            Trap::Call => self.system_call(entry),
            Trap::Fault {
                kind,
                address,
                cause,
            } => self.thread_fault(entry, kind, address, cause),
            Trap::Timer => self.timer(entry),
            Trap::Ipi => {}
            Trap::External => self.external_interrupts(entry),
            Trap::Exit(exit) => self.guest_exit(entry, exit),
        }
        self.settle(entry);
    }

    /// Does what other cores asked of this one, and decides who runs next.
    pub fn settle(&self, entry: &mut Entry<'_>) {
        self.drain_inbox(entry);
        self.rounds(entry);
        self.schedule(entry);
    }

    /// Returns what the core does when it leaves the kernel.
    pub fn next<'e>(&self, entry: &'e Entry<'_>) -> Next<'e, A> {
        let core = self.core(entry);
        match core.current.get() {
            None => Next::Idle,
            Some(current) if self.execution(entry, current).is_vcpu() => {
                let vcpu = self.vcpu(entry, current);
                Next::Guest(vcpu, self.enter_guest(entry, vcpu))
            }
            Some(current) => Next::Thread(self.thread(entry, current)),
        }
    }

    /// Returns the state of the core that entered.
    #[inline(always)]
    fn core(&self, entry: &Entry<'_>) -> &CoreState {
        self.core_at(entry.core())
    }

    /// Returns the state of a core.
    #[inline(always)]
    fn core_at(&self, core: usize) -> &CoreState {
        match self.cores.get(core) {
            Some(state) => state,
            None => no_core(core),
        }
    }

    /// Returns an execution.
    #[inline(never)]
    fn execution<'e>(
        &self,
        entry: &'e Entry<'_>,
        handle: object::execution::ExecutionRef,
    ) -> &'e Execution {
        object::part::<A, Execution>(entry, handle)
    }

    /// Returns the thread that an execution is.
    #[inline(never)]
    fn thread<'e>(
        &self,
        entry: &'e Entry<'_>,
        handle: object::execution::ExecutionRef,
    ) -> &'e Thread<A> {
        let handle = arena::Handle::from_address(handle.address());
        entry.get(handle.expect("a handle is not zero"))
    }

    /// Returns the vCPU that an execution is.
    #[inline(never)]
    fn vcpu<'e>(
        &self,
        entry: &'e Entry<'_>,
        handle: object::execution::ExecutionRef,
    ) -> &'e Vcpu<A> {
        let handle = arena::Handle::from_address(handle.address());
        entry.get(handle.expect("a handle is not zero"))
    }
}

/// Reports a core number that no core has: numbers are checked where they come in.
///
/// # Panics
///
/// Always.
#[cold]
#[inline(never)]
fn no_core(core: usize) -> ! {
    panic!("there is no core {core}")
}
