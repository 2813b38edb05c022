//! One kernel entry of one core: from a trap to what the core does next.

use crate::Kernel;
use crate::arch::{Arch, Trap};
use crate::cap::Slot;
use crate::core_state::CoreState;
use crate::object::execution::{Execution, ExecutionRef};
use crate::object::space::AddressSpace;
use crate::object::thread::Thread;
use crate::object::vcpu::Vcpu;
use arena::{Entry, Handle, Object, Part};
use core::ops::Deref;

/// One kernel entry of one core: the kernel, the right to look at objects, and what the kernel
/// knows of the core.
pub struct Visit<'k, A: Arch> {
    pub(crate) kernel: &'k Kernel<A>,
    /// The right to look at objects.
    pub entry: Entry<'k>,
    pub(crate) core: &'k CoreState,
}

/// The pin of the thread, and of the vCPU, that runs.
pub(crate) const CURRENT: usize = 3;

/// What a core does when it leaves the kernel.
pub enum Next<'e, A: Arch> {
    /// It returns to a thread.
    Thread(&'e Thread<A>),
    /// It enters a guest, whose general registers are in the page at this physical address.
    Guest(&'e Vcpu<A>, u64),
    /// It waits for an interrupt.
    Idle,
}

impl<A: Arch> Deref for Visit<'_, A> {
    type Target = Kernel<A>;

    #[inline(always)]
    fn deref(&self) -> &Kernel<A> {
        self.kernel
    }
}

impl<A: Arch> Visit<'_, A> {
    /// Handles a trap of the core.
    pub fn handle(&mut self, trap: Trap) {
        let is_interrupt = matches!(trap, Trap::Timer | Trap::Ipi | Trap::External);
        self.leave_guest(is_interrupt);
        match trap {
            Trap::Call => self.system_call(),
            Trap::Fault {
                kind,
                address,
                cause,
            } => self.thread_fault(kind, address, cause),
            Trap::Timer => self.timer(),
            Trap::Ipi => {}
            Trap::External => self.external_interrupts(),
            Trap::Exit(exit) => self.guest_exit(&exit),
        }
        if is_interrupt || !self.is_settled() {
            self.settle();
        }
    }

    /// Does what other cores asked of this one, and decides who runs next.
    pub fn settle(&mut self) {
        self.drain_inbox();
        self.rounds();
        self.schedule();
    }

    /// Returns what the core does when it leaves the kernel.
    pub fn next(&self) -> Next<'_, A> {
        match self.core.current.get() {
            None => Next::Idle,
            Some(current) if self.execution(current).is_vcpu() => {
                let vcpu = self.vcpu(current);
                Next::Guest(vcpu, self.enter_guest(current, vcpu))
            }
            Some(current) => Next::Thread(self.thread(current)),
        }
    }

    /// Returns the thread that runs, if one does.
    #[inline(always)]
    pub fn current_thread(&self) -> Option<&Thread<A>> {
        self.entry.again(self.core.current.address(), CURRENT)
    }

    /// Returns the vCPU that runs, if one does.
    #[inline(always)]
    pub fn current_vcpu(&self) -> Option<&Vcpu<A>> {
        self.entry.again(self.core.current.address(), CURRENT)
    }

    /// Returns an execution that the kernel keeps the name of: out of line, as all of these, for
    /// where they are used a call costs little beside what is done with the object.
    #[inline(never)]
    pub(crate) fn execution(&self, handle: ExecutionRef) -> &Execution {
        self.part(handle)
    }

    /// Returns a slot that the kernel keeps the name of.
    #[inline(never)]
    pub(crate) fn slot(&self, handle: Handle<Slot>) -> &Slot {
        self.part(handle)
    }

    /// Returns a space that the kernel keeps the name of.
    #[inline(never)]
    pub(crate) fn space(&self, handle: Handle<AddressSpace>) -> &AddressSpace {
        self.part(handle)
    }

    /// Returns the thread that an execution is.
    #[inline(never)]
    pub(crate) fn thread(&self, handle: ExecutionRef) -> &Thread<A> {
        self.entry.get(handle.cast())
    }

    /// Returns the vCPU that an execution is.
    #[inline(never)]
    pub(crate) fn vcpu(&self, handle: ExecutionRef) -> &Vcpu<A> {
        self.entry.get(handle.cast())
    }

    /// Returns a part that the kernel keeps the name of.
    ///
    /// # Panics
    ///
    /// Where it is not there: a bug of the kernel.
    #[inline(always)]
    fn part<T: Part<A>>(&self, handle: Handle<T>) -> &T {
        match self.entry.part::<T, A>(handle) {
            Some(part) => part,
            None => arena::gone(),
        }
    }

    /// Returns the address of the object that has `slot` inside it: in its first page, where it has
    /// several, which need not be a power of two.
    pub(crate) fn owner_of(&self, slot: u64) -> u64 {
        use crate::object::interrupt::Interrupt;
        use crate::object::space::{GuestSpace, Space};
        let strides = [
            (Thread::<A>::KIND, Thread::<A>::STRIDE),
            (Vcpu::<A>::KIND, Vcpu::<A>::STRIDE),
            (Space::KIND, Space::STRIDE),
            (GuestSpace::KIND, GuestSpace::STRIDE),
            (Interrupt::KIND, Interrupt::STRIDE),
        ];
        let kind = self.entry.arena().kind(slot);
        let found = strides.iter().find(|(of, _)| *of == kind);
        let stride = found.map_or(Slot::STRIDE, |(_, stride)| *stride);
        slot & !(stride.min(abi::PAGE_SIZE) - 1)
    }
}
