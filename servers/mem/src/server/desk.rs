//! One core's clients: who is served now, and who waits for his next turn.

use super::{State, answer_request, lock, report};
use abi::call::FOREVER;
use abi::exit::ExitReply;
use abi::message::MAX_WORDS;
use abi::{DeliveryKind, Error};
use alloc::vec::Vec;
use mem::Quota;
use mem_api::{Mem, Request};
use rt::api::Refused;
use rt::api::envelope::open_request;
use rt::serve::refusal;
use rt::{Endpoint, Incoming, Outgoing, Reply};

/// Badge bit of second-stage faults.
const FAULT_BADGE: u64 = 1 << 32;
/// Requests and faults of a client on a core, in a period.
const REQUESTS: u64 = 64;
/// Periods of a second.
const PERIODS_PER_SECOND: u64 = 100;

/// What is wanted of the server.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// A request of a process.
    Request(u16, Result<Request, Refused>),
    /// A fault in a guest's memory: guest, vCPU, number of the exit, address.
    Fault(u16, usize, u64, u64),
}

impl Work {
    /// Returns what a message asks for; nothing where nobody waits for an answer.
    fn of(message: &Incoming) -> Option<Self> {
        match message.kind() {
            Some(DeliveryKind::Exit) if message.badge & FAULT_BADGE != 0 => {
                let guest = (message.badge >> 8) & 0xff_ffff;
                let guest = u16::try_from(guest).unwrap_or(u16::MAX);
                let [_, address, ..] = message.words;
                let vcpu = message.vcpu() & 0xff;
                Some(Self::Fault(guest, vcpu, message.sequence, address))
            }
            Some(DeliveryKind::Call) => {
                let process = u16::try_from(message.badge.wrapping_sub(1)).unwrap_or(u16::MAX);
                Some(Self::Request(process, request_in(message)))
            }
            _ => None,
        }
    }

    /// Returns whose quota it counts in: processes first, guests behind them.
    fn client(&self) -> u64 {
        match self {
            Self::Request(process, _) => u64::from(*process),
            Self::Fault(guest, ..) => 1 << 16 | u64::from(*guest),
        }
    }

    /// Does it; returns the answer.
    fn perform(&self, core: u64) -> Outgoing {
        match *self {
            Self::Request(_, Err(refused)) => refusal(refused),
            Self::Request(process, Ok(request)) => answer_request(core, process, request),
            Self::Fault(guest, vcpu, sequence, address) => {
                let fault = |state: &mut State| state.fault((guest, vcpu), sequence, address);
                let label = lock(fault).unwrap_or(ExitReply::Decline);
                Outgoing::new(u16::try_from(label.number()).unwrap_or(0))
            }
        }
    }
}

/// Returns the request in a message. Not inlined: its buffer would stay on the stack.
#[inline(never)]
fn request_in(message: &Incoming) -> Result<Request, Refused> {
    let mut buffer = [0; MAX_WORDS];
    open_request::<Mem>(message.label(), message.copy_words(&mut buffer))
}

/// A caller who waits for his turn.
struct Waiting {
    reply: Reply,
    work: Work,
    until: u64,
}

/// The clients of one core.
pub struct Desk {
    core: u64,
    endpoint: Endpoint,
    quota: Quota,
    /// Reply objects that nobody is in.
    replies: Vec<Reply>,
    waiting: Vec<Waiting>,
}

impl Desk {
    /// Returns the desk of a core that was granted an endpoint.
    pub fn new(core: u64) -> Option<Self> {
        let ticks = rt::grant::value("ticks").unwrap_or(0);
        let row = rt::grant::indexed("replies", core);
        let replies = row.map_or(0..0, |row| {
            let count = u32::try_from(row.value).unwrap_or(0);
            row.index()..row.index() + count
        });
        Some(Self {
            core,
            endpoint: rt::cores::endpoint_of(core)?,
            quota: Quota::new(REQUESTS, ticks / PERIODS_PER_SECOND),
            replies: replies.map(Reply::own).collect(),
            waiting: Vec::new(),
        })
    }

    /// Serves for ever.
    ///
    /// # Errors
    ///
    /// The kernel's, to a receive.
    pub fn serve(&mut self) -> Result<(), Error> {
        let mut answer = None;
        loop {
            let until = self.serve_waiting();
            let received = match answer.take() {
                Some(answer) => match self.endpoint.reply_receive(&answer, until) {
                    Err(Error::NoCaller) => self.endpoint.receive(until),
                    received => received,
                },
                None => self.endpoint.receive(until),
            };
            answer = match received {
                Ok(message) => self.handle(&message),
                Err(Error::TimedOut) => None,
                Err(error) => return Err(error),
            };
        }
    }

    /// Answers those whose turn has come; returns when the next one's does.
    fn serve_waiting(&mut self) -> u64 {
        while let Some(index) = self.due(rt::sys::counter()) {
            let Waiting { reply, work, .. } = self.waiting.swap_remove(index);
            let answer = work.perform(self.core);
            match reply.send(&answer) {
                // Who is gone needs none.
                Ok(()) | Err(Error::NoCaller) => {}
                Err(error) => rt::error!("an answer is lost: {}", error),
            }
            self.replies.push(reply);
        }
        let until = self.waiting.iter().map(|waiting| waiting.until);
        until.min().unwrap_or(FOREVER)
    }

    /// Returns the one who waits longest of those whose turn has come.
    fn due(&self, now: u64) -> Option<usize> {
        let due = self.waiting.iter().enumerate();
        let due = due.filter(|(_, waiting)| waiting.until <= now);
        due.min_by_key(|(_, waiting)| waiting.until)
            .map(|(index, _)| index)
    }

    /// Handles a message; returns the answer, unless the caller waits or there is none.
    fn handle(&mut self, message: &Incoming) -> Option<Outgoing> {
        if message.kind() == Some(DeliveryKind::Notification) {
            report::print();
            return None;
        }
        let work = Work::of(message)?;
        let now = rt::sys::counter();
        if let Err(until) = self.quota.take(work.client(), now)
            && self.put_aside(work, until)
        {
            return None;
        }
        Some(work.perform(self.core))
    }

    /// Lets the caller wait; returns whether there was a place for him.
    fn put_aside(&mut self, work: Work, until: u64) -> bool {
        let Some(reply) = self.replies.pop() else {
            return false;
        };
        if reply.save().is_err() {
            self.replies.push(reply);
            return false;
        }
        if let Work::Request(process, _) = work {
            lock(|state| state.steward.note_slowed(process));
        }
        self.waiting.push(Waiting { reply, work, until });
        true
    }
}
