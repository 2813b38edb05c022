//! What the threads share: the machine, and how far its guest is.

use super::{Platform, Setup, World};
use crate::machine::{Boot, BootError};
use crate::{Effects, Exit, Lifecycle, Machine, Outcome, RebootKind, VcpuId};
use abi::exit::ExitClass;
use alloc::sync::Arc;
use api::Delivery;

/// Everything behind the lock.
pub struct State<P: Platform> {
    /// The VM.
    pub machine: P::Machine,
    /// The kernel, as the VM's handlers see it.
    pub world: World<P>,
    phase: Phase,
    /// Reboots so far.
    reboots: u32,
    /// A test wants this server to fail at a firmware call.
    is_tested: bool,
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
    /// The guest made the call at which a test wants this server to read where it may not.
    Touch(u64),
}

/// What has to be done outside of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Report that the guest ended with this status.
    Report(i64),
    /// Load the guest again.
    Reload(RebootKind),
}

impl<P: Platform> State<P> {
    /// Returns the state of a guest that is about to be loaded; `None` where it has no vCPU.
    pub fn new(machine: P::Machine, setup: Arc<Setup>) -> Option<Self> {
        let description = &setup.description;
        let is_tested = description.panic_on_sbi.is_some() || description.touch_on_sbi.is_some();
        Some(Self {
            machine,
            world: World::new(setup)?,
            phase: Phase::Loading,
            reboots: 0,
            is_tested,
        })
    }

    /// Handles an exit.
    #[inline]
    pub fn exit(&mut self, vcpu: VcpuId, exit: Exit, sequence: u64) -> Step {
        match self.world.begin(vcpu, sequence) {
            Some(Delivery::New) => self.world.note_registers(exit),
            Some(Delivery::Repeated(outcome)) => return Step::Answer(outcome),
            // Nobody waits for this answer: the vCPU was stopped, and has new registers perhaps.
            Some(Delivery::Stale) => return Step::Answer(Outcome::RESUME),
            None => return Step::Answer(Outcome::DECLINE),
        }
        if self.is_tested
            && exit.class == ExitClass::Hypercall
            && let Some(step) = self.test_hook(vcpu)
        {
            return step;
        }
        match self.machine.exit(vcpu, exit, &mut self.world) {
            Ok(outcome) => {
                self.world.end(outcome);
                Step::Answer(outcome)
            }
            Err(absent) => {
                let [program_counter, ..] = exit.words;
                self.world.put_off((exit.class, program_counter), absent);
                Step::Answer(Outcome::RESUME)
            }
        }
    }

    /// Returns what a test wants of this server at a firmware call.
    #[cold]
    #[inline(never)]
    fn test_hook(&mut self, vcpu: VcpuId) -> Option<Step> {
        let description = &self.world.setup.description;
        let (panic, touch) = (description.panic_on_sbi, description.touch_on_sbi);
        let call = P::firmware_call(&mut self.world, vcpu);
        match touch {
            Some((extension, function, address)) if (extension, function) == call => {
                Some(Step::Touch(address))
            }
            _ => (panic == Some(call)).then_some(Step::Panic(call)),
        }
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
            (Phase::Up, Lifecycle::Rebooting { reason, .. }) if self.may_not_reboot() => {
                self.world.note("a further reboot is its end");
                (Phase::Reported, Task::Report(reason.status()))
            }
            (Phase::Up, Lifecycle::Rebooting { kind, .. }) => {
                self.reboots += 1;
                (Phase::Loading, Task::Reload(kind))
            }
            (Phase::Loading, Lifecycle::Rebooting { .. }) => return None,
        };
        self.phase = next;
        Some(task)
    }

    /// Returns whether the guest rebooted as often as it may.
    fn may_not_reboot(&self) -> bool {
        let limit = self.world.setup.description.reboots;
        limit.is_some_and(|limit| self.reboots >= limit)
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
