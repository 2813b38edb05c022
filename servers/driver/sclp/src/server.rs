//! The process: waits for the bell of the console, the service signal, or a deadline.

use crate::link::{BLOCK_BYTES, Link, Start};
use abi::call::FOREVER;
use abi::{DeliveryKind, Error, ObjectKind};
use api::Refused;
use api::ring::Ends;
use rt::serve::refusal;
use rt::{Endpoint, Firmware, Incoming, Interrupt, Notification, grant, log};

/// Bit of the service signal among the bits of a notification.
const SIGNAL: u64 = 1 << 63;
/// Firmware call: starts a call of the service processor (`docs/abi.md`).
const START: u64 = 3;
/// Firmware call: collects what it answered.
const COLLECT: u64 = 4;
/// Bit of what `COLLECT` returns: events wait to be read.
const EVENTS_WAIT: u64 = 1 << 16;
/// Parts of a second after which a line that has begun is shown as far as it is.
const QUIET: u64 = 50;
/// Parts of a second after which an answer is looked for though no signal came.
const PATIENCE: u64 = 20;

/// The process, as it was granted.
struct Driver {
    link: Link<'static>,
    endpoint: Endpoint,
    bell: Notification,
    signal: Interrupt,
    firmware: Firmware,
    ticks_per_second: u64,
    block: [u8; BLOCK_BYTES],
}

/// Runs the driver, which never returns.
pub fn run() -> ! {
    match Driver::new() {
        Some(mut driver) => match driver.serve() {
            Some(error) => log!("driver-sclp: the endpoint is gone: {error:?}"),
            None => log!("driver-sclp: the service processor has no console"),
        },
        None => {
            log!("driver-sclp: firmware, interrupt, ring.0, bell.0 or endpoint is missing");
        }
    }
    rt::spawn::exit()
}

impl Driver {
    /// Returns the driver, or `None` where a grant is missing.
    fn new() -> Option<Self> {
        let ring = Ends::of_peer(grant::page("ring.0")?)?;
        Some(Self {
            endpoint: rt::endpoint_of(rt::cores::current())?,
            bell: Notification::own(grant::slot("bell.0", ObjectKind::Notification)?),
            signal: Interrupt::own(grant::slot("interrupt", ObjectKind::Interrupt)?),
            firmware: Firmware::own(grant::slot("firmware", ObjectKind::Firmware)?),
            ticks_per_second: grant::value("ticks")?,
            link: Link::new(ring),
            block: [0; BLOCK_BYTES],
        })
    }

    /// Serves until the endpoint is gone, and returns why; `None` where there is no console.
    fn serve(&mut self) -> Option<Error> {
        let mut is_quiet = false;
        let _ = self.signal.acknowledge();
        while !self.link.is_deaf() {
            self.start(is_quiet);
            is_quiet = false;
            match self.endpoint.receive(self.deadline()) {
                Ok(message) => self.handle(&message),
                Err(Error::TimedOut) => is_quiet = !self.collect(),
                Err(error) => return Some(error),
            }
            if self.link.take_bell() {
                let _ = self.bell.signal();
            }
        }
        None
    }

    /// Makes the next call, if there is one to make.
    fn start(&mut self, is_quiet: bool) {
        let Some(Start { command, length }) = self.link.next(is_quiet, &mut self.block) else {
            return;
        };
        let call = [START, u64::from(command), length as u64, 0, 0, 0];
        let block = self.block.get(..length).unwrap_or_default();
        if self.firmware.call_with(call, block).is_err() {
            // The kernel's own call is under way: the next turn tries again.
            self.link.refused();
        }
    }

    /// Handles a message.
    fn handle(&mut self, message: &Incoming) {
        let [bits, ..] = message.words;
        match message.kind() {
            Some(DeliveryKind::Notification) if bits & SIGNAL != 0 => {
                if !self.collect() {
                    self.link.signalled();
                }
                let _ = self.signal.acknowledge();
            }
            Some(DeliveryKind::Notification) => {}
            _ => {
                let _ = rt::synchronization::reply(&refusal(Refused::Malformed));
            }
        }
    }

    /// Collects the answer of the call that is under way; returns whether there was one.
    fn collect(&mut self) -> bool {
        if !self.link.is_busy() {
            return false;
        }
        let call = [COLLECT, 0, 0, 0, 0, 0];
        let Ok(answer) = self.firmware.call_for(call, &mut self.block) else {
            return false;
        };
        let [code, ..] = answer;
        let [.., high, low] = code.to_be_bytes();
        let response = u16::from_be_bytes([high, low]);
        self.link
            .answered(response, code & EVENTS_WAIT != 0, &self.block);
        true
    }

    /// Returns when to look again at the latest.
    fn deadline(&self) -> u64 {
        let parts = if self.link.is_busy() {
            PATIENCE
        } else if self.link.is_unfinished() {
            QUIET
        } else {
            return FOREVER;
        };
        rt::sys::counter().saturating_add(self.ticks_per_second / parts)
    }
}
