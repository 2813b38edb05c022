//! Threads that run hand-encoded instructions: they fault where Rust code must not.

use crate::case::Outcome;
use crate::context::{Context, HIGH, read_execute};
use crate::machine;
use abi::call::Binding;
use rt::window::Window;
use rt::{Endpoint, Frame, Notification, Space, Thread};

/// Instructions in the suite's space.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Where they begin.
    pub start: u64,
    /// Where the machine's `report` begins, behind them.
    pub report: u64,
    /// The frame that they are in.
    frame: Frame,
}

impl Program {
    /// Maps the instructions into another space too, at the same address.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn share(&self, context: &Context, space: Space) -> Outcome {
        let copy = Frame::at(context.copy(self.frame.capability())?.slot());
        Ok(copy.map(space.capability(), self.start, read_execute())?)
    }
}

/// A thread that runs a [`Program`].
#[derive(Clone, Copy, Debug)]
pub struct Runner {
    /// The thread.
    pub thread: Thread,
    /// What it signals when it comes to the report.
    pub done: Notification,
    /// Its instructions.
    pub program: Program,
}

impl Context {
    /// Writes `instructions` and the machine's report into a frame that can be executed.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn program(&self, instructions: &[u8]) -> Outcome<Program> {
        let frame = self.frame(12)?;
        let writable = self.window(frame)?;
        let (size, report) = (instructions.len(), machine::current().report);
        let mut bytes = [0; 64];
        bytes[..size].copy_from_slice(instructions);
        bytes[size..size + report.len()].copy_from_slice(report);
        writable.write_code(&bytes);
        self.executable(frame, size as u64)
    }

    /// Maps a copy of a frame for execution.
    fn executable(&self, frame: Frame, report: u64) -> Outcome<Program> {
        let copy = Frame::at(self.copy(frame.capability())?.slot());
        let address = self.window_address(12);
        let window = Window::map(copy, self.own_space(), address, read_execute())?;
        rt::sys::synchronize_code();
        Ok(Program {
            start: window.address(),
            report: window.address() + report,
            frame: copy,
        })
    }

    /// Starts an eager thread at the program with this argument; `handler` hears of its faults.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn run_program(
        &self,
        program: Program,
        argument: u64,
        handler: Option<Endpoint>,
    ) -> Outcome<Runner> {
        let runner = self.prepare_program(program, handler)?;
        runner
            .thread
            .run(program.start, runner.done.bits(), argument)?;
        Ok(runner)
    }

    /// Makes the thread of a program without starting it.
    ///
    /// # Errors
    ///
    /// A failure.
    #[track_caller]
    pub fn prepare_program(&self, program: Program, handler: Option<Endpoint>) -> Outcome<Runner> {
        let thread = self.thread_on(0)?;
        let budget = self.budget_on(0)?;
        thread.bind(Binding::Space, Some(self.own_space().capability()))?;
        thread.bind(Binding::CapTable, Some(self.own_table().capability()))?;
        thread.bind(Binding::Budget, Some(budget.capability()))?;
        if let Some(handler) = handler {
            thread.bind(Binding::FaultHandler, Some(handler.capability()))?;
        }
        thread.set_priority(HIGH)?;
        let done = self.notification()?;
        Ok(Runner {
            thread,
            done,
            program,
        })
    }
}
