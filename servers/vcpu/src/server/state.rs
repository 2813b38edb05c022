//! What the threads share: the machine, and how far its guest is.

use super::{Platform, Setup, World};
use crate::machine::{Boot, BootError};
use crate::{Effects, Exit, Lifecycle, Machine, Outcome, VcpuId};
use abi::exit::ExitClass;
use alloc::sync::Arc;

/// Everything behind the lock.
pub struct State<P: Platform> {
    /// The VM.
    pub machine: P::Machine,
    /// The kernel, as the VM's handlers see it.
    pub world: World<P>,
    phase: Phase,
}

/// How far the guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its files are being written.
    Loading,
    /// It was started.
    Up,
    /// Its end was, or is being, reported.
    Reported,
}

/// What has to be done after an exit was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The exit is answered so.
    Answer(Outcome),
    /// The guest made the call at which a test wants this server to die.
    Panic((u64, u64)),
}

/// What has to be done outside of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Report that the guest ended with this status.
    Report(i64),
    /// Load the guest again.
    Reload,
}

impl<P: Platform> State<P> {
    /// Returns the state of a guest that is about to be loaded.
    pub fn new(machine: P::Machine, setup: Arc<Setup>) -> Self {
        Self {
            machine,
            world: World::new(setup),
            phase: Phase::Loading,
        }
    }

    /// Handles an exit.
    pub fn exit(&mut self, vcpu: VcpuId, exit: Exit, sequence: u64) -> Step {
        if !self.world.has(vcpu) {
            return Step::Answer(Outcome::Decline);
        }
        // An exit of the time before a reboot: the vCPU has new registers and begins with them.
        if self.machine.lifecycle() == Lifecycle::Running && self.world.is_stale(vcpu, sequence) {
            return Step::Answer(Outcome::Resume);
        }
        if exit.class == ExitClass::Hypercall && self.world.setup.description.panic_on_sbi.is_some()
        {
            let call = P::firmware_call(&mut self.world, vcpu);
            if self.world.setup.description.panic_on_sbi == Some(call) {
                return Step::Panic(call);
            }
        }
        let outcome = self.machine.exit(vcpu, exit, &mut self.world);
        if let Outcome::Wait { address } = outcome {
            self.world.absent(vcpu, address);
            if P::try_again(&mut self.world, vcpu, exit).is_err() {
                self.world
                    .note("a vCPU does not take back its program counter");
            }
        }
        Step::Answer(outcome)
    }

    /// Starts the guest that was loaded.
    pub fn boot(&mut self, boot: Boot) -> Result<(), BootError> {
        let first = self.machine.boot(boot, &mut self.world)?;
        self.phase = Phase::Up;
        if self.world.start(first) {
            self.machine.started(first);
        }
        Ok(())
    }

    /// Notes that the guest cannot be loaded.
    pub fn give_up(&mut self) {
        self.phase = Phase::Reported;
    }

    /// Returns what the guest's life asks for; each task once.
    pub fn take_task(&mut self) -> Option<Task> {
        let (next, task) = match (self.phase, self.machine.lifecycle()) {
            (Phase::Reported, _) | (_, Lifecycle::Running) => return None,
            (_, Lifecycle::PoweredOff { reason }) => {
                (Phase::Reported, Task::Report(reason.status()))
            }
            (_, Lifecycle::Failed(_)) => (Phase::Reported, Task::Report(1)),
            (Phase::Up, Lifecycle::Rebooting { .. }) => (Phase::Loading, Task::Reload),
            (Phase::Loading, Lifecycle::Rebooting { .. }) => return None,
        };
        self.phase = next;
        Some(task)
    }

    /// Returns whether the guest ended, or could not be loaded.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Reported || self.machine.lifecycle().has_ended()
    }

    /// Returns whether the thread of `core` has to load the guest for the first time.
    pub fn begins_on(&self, core: u64) -> bool {
        self.is_loading() && self.world.setup.core == core
    }

    /// Returns whether the guest is being loaded for the first time.
    pub fn is_loading(&self) -> bool {
        self.phase == Phase::Loading && self.machine.lifecycle() == Lifecycle::Running
    }
}
