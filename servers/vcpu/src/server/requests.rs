//! Requests of the supervisor, and rings of devices.

use super::state::State;
use super::{Platform, Server, answer, devices};
use crate::{EndReason, Failure, Lifecycle, Machine, Metrics};
use abi::exit::ExitClass;
use rt::Incoming;
use vcpu_api::{EXIT_CLASSES, Refusal, Reply, Request, SUPERVISOR, Statistics, Status, Vcpus};

impl<P: Platform> Server<P> {
    /// Answers a request, then does what it caused.
    #[inline(never)]
    pub(super) fn call(&self, incoming: Incoming) {
        let badge = incoming.badge;
        let reply = rt::serve::answer::<Vcpus>(&incoming, |request| {
            self.with(|state| state.request(badge, request))
                .unwrap_or(Err(Refusal::NotSetUp))
        });
        // The asker may have to go on for the report to be printed.
        answer(&reply);
        self.follow();
    }

    /// A device rang: ends the guest where that printed an exit line. Or the interrupt server did,
    /// for processors to start.
    #[inline(never)]
    pub(super) fn rung(&self) {
        let _ = self.with(|state| state.machine.rung(&mut state.world));
        let devices = self.with(|state| state.world.setup.description.devices.len());
        let exits = (0..devices.unwrap_or(0)).filter_map(devices::take_exit);
        for number in exits {
            let _ = self.with(|state| state.end(EndReason::ExitLine(number)));
        }
        self.follow();
    }
}

impl<P: Platform> State<P> {
    /// Decides about a request.
    fn request(&mut self, badge: u64, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Status => Ok(Reply::Status(self.status())),
            Request::Statistics => Ok(Reply::Statistics(statistics(self.machine.metrics()))),
            Request::PowerOff if badge == SUPERVISOR => self.end(EndReason::None),
            Request::PowerOff => Err(Refusal::NotAllowed),
        }
    }

    /// Ends the guest.
    fn end(&mut self, reason: EndReason) -> Result<Reply, Refusal> {
        if self.has_ended() {
            return Err(Refusal::Ended);
        }
        self.machine.end(reason, &mut self.world);
        Ok(Reply::Done)
    }

    /// Returns where the VM stands.
    fn status(&self) -> Status {
        if self.is_loading() {
            return Status::Loading;
        }
        match self.machine.lifecycle() {
            Lifecycle::Running => Status::Running,
            Lifecycle::PoweredOff { reason } => Status::PoweredOff {
                status: reason.status(),
            },
            Lifecycle::Rebooting { .. } => Status::Rebooting,
            Lifecycle::Failed(failure) => failed(failure),
        }
    }
}

/// Returns a failure as clients see it.
fn failed(failure: Failure) -> Status {
    let (vcpu, cause, program_counter) = match failure {
        Failure::UnknownExit {
            vcpu,
            cause,
            program_counter,
            ..
        } => (vcpu, cause, program_counter),
        Failure::Register { vcpu, id } => (vcpu, id, 0),
    };
    Status::Failed {
        vcpu: vcpu.index() as u8,
        cause,
        program_counter,
    }
}

/// Returns the counters as clients see them.
fn statistics(metrics: &Metrics) -> Statistics {
    let mut exits = [0; EXIT_CLASSES];
    for (count, class) in exits.iter_mut().zip(ExitClass::ALL) {
        *count = metrics.exits(*class);
    }
    let calls = metrics.calls;
    Statistics {
        exits,
        calls: [
            calls.base,
            calls.time,
            calls.ipi,
            calls.rfence,
            calls.hsm,
            calls.srst,
            calls.dbcn,
            calls.unknown,
        ],
        forwarded: metrics.forwarded,
        exceptions: metrics.exceptions,
        waits: metrics.waits,
    }
}
