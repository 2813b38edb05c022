//! Threads and budgets.

use crate::capability::{Capability, handle};
use crate::sys;
use abi::call::Binding;
use abi::{CallNumber, Error};

handle! {
    /// A thread of a process.
    Thread
}
handle! {
    /// A scheduling context: an amount of time per period.
    Budget
}

impl Thread {
    /// Binds something to the stopped thread, or with `None` unbinds it.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bind(self, binding: Binding, what: Option<Capability>) -> Result<(), Error> {
        let what = what.map_or(0, Capability::bits);
        sys::call(
            CallNumber::ThreadBind,
            [self.bits(), binding.number(), what],
        )
        .map(drop)
    }

    /// Binds the budget of the stopped thread, which it keeps to: clients lend it none.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn bind_own_budget(self, budget: Budget) -> Result<(), Error> {
        let arguments = [self.bits(), Binding::Budget.number(), budget.bits(), 1];
        sys::call(CallNumber::ThreadBind, arguments).map(drop)
    }

    /// Sets program counter, stack pointer and argument of the stopped thread.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn start(self, program_counter: u64, stack: u64, argument: u64) -> Result<(), Error> {
        let arguments = [self.bits(), program_counter, stack, argument];
        sys::call(CallNumber::ThreadStart, arguments).map(drop)
    }

    /// Sets program counter, stack pointer and argument of the stopped thread and lets it run.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn run(self, program_counter: u64, stack: u64, argument: u64) -> Result<(), Error> {
        self.start(program_counter, stack, argument)?;
        self.resume()
    }

    /// Stops the thread.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn stop(self) -> Result<(), Error> {
        sys::call(CallNumber::ThreadStop, [self.bits()]).map(drop)
    }

    /// Lets the stopped thread run.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn resume(self) -> Result<(), Error> {
        sys::call(CallNumber::ThreadResume, [self.bits()]).map(drop)
    }

    /// Sets the priority.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_priority(self, priority: u64) -> Result<(), Error> {
        sys::call(CallNumber::ThreadPriority, [self.bits(), priority]).map(drop)
    }

    /// Lets faults with the program counter in `start..end` resume at `target`.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn set_recovery(self, start: u64, end: u64, target: u64) -> Result<(), Error> {
        sys::call(
            CallNumber::ThreadRecovery,
            [self.bits(), start, end, target],
        )
        .map(drop)
    }

    /// Reads a register of the stopped or faulted thread.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn read(self, register: u64) -> Result<u64, Error> {
        sys::call(CallNumber::ThreadRead, [self.bits(), register]).map(|values| values[0])
    }

    /// Writes a register of the stopped or faulted thread.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn write(self, register: u64, value: u64) -> Result<(), Error> {
        sys::call(CallNumber::ThreadWrite, [self.bits(), register, value]).map(drop)
    }
}

impl Budget {
    /// Sets amount and period, in ticks of the counter.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn configure(self, amount: u64, period: u64) -> Result<(), Error> {
        sys::call(CallNumber::BudgetConfigure, [self.bits(), amount, period]).map(drop)
    }

    /// Gives all of the time, in turns of so many ticks with others of the same priority.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn take_turns(self, ticks: u64) -> Result<(), Error> {
        let arguments = [self.bits(), ticks, ticks, ticks];
        sys::call(CallNumber::BudgetConfigure, arguments).map(drop)
    }
}
