//! One core's clients: who is served now, and who waits: for his next turn, for what is just being
//! moved, or for the end of what he asked for and takes long.
//!
//! ```text
//!  message ──> perform ──> Answer
//!                 ├──────> Later ── put aside, performed again after a moment
//!                 └──────> Begun ── a job: one piece, then as long a pause for others, and so on
//! ```

use super::job::Job;
use super::{State, lock, message_of, report, with_steward};
use abi::call::FOREVER;
use abi::exit::ExitReply;
use abi::message::MAX_WORDS;
use abi::{DeliveryKind, Error};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use mem::{Decision, Quota};
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
/// What has to wait until something is moved is tried again after this part of a second.
const MOMENTS_PER_SECOND: u64 = 20_000;

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

    /// Does it, or begins to; a fault in place, for that is short.
    fn perform(&self, core: u64) -> Performed {
        match *self {
            Self::Request(_, Err(refused)) => Performed::Answer(refusal(refused)),
            Self::Request(process, Ok(request)) => request_performed(core, process, request),
            Self::Fault(guest, vcpu, sequence, address) => {
                let fault = |state: &mut State| state.fault((guest, vcpu), sequence, address);
                match lock(fault).unwrap_or(Some(ExitReply::Decline)) {
                    Some(label) => {
                        let label = u16::try_from(label.number()).unwrap_or(0);
                        Performed::Answer(Outgoing::new(label))
                    }
                    None => Performed::Later,
                }
            }
        }
    }
}

/// What became of work.
enum Performed {
    /// It is done.
    Answer(Outgoing),
    /// It is to be performed again.
    Later,
    /// It takes long.
    Begun(Job),
}

/// Decides about a request.
#[inline(never)]
fn request_performed(core: u64, process: u16, request: Request) -> Performed {
    let decision = match with_steward(|steward| steward.decide(process, request)) {
        Ok(Decision::Done(reply, frames)) => {
            return Performed::Answer(message_of(&Ok(reply), frames));
        }
        Err(refused) => return Performed::Answer(message_of(&Err(refused), Vec::new())),
        Ok(decision) => decision,
    };
    match Job::of(core, (process, request), decision) {
        Some(mut job) if job.is_short() => Performed::Answer(job.finish()),
        Some(job) => Performed::Begun(job),
        None => Performed::Later,
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

/// A caller who waits for the end of what he asked for.
struct Working {
    reply: Reply,
    job: Job,
    /// When it goes on.
    until: u64,
}

/// The clients of one core.
pub struct Desk {
    core: u64,
    endpoint: Endpoint,
    quota: Quota,
    /// Ticks until what has to wait for a move is tried again.
    moment: u64,
    /// Reply objects that nobody is in.
    replies: Vec<Reply>,
    waiting: Vec<Waiting>,
    /// One after the other is done.
    jobs: VecDeque<Working>,
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
            moment: ticks / MOMENTS_PER_SECOND,
            replies: replies.map(Reply::own).collect(),
            waiting: Vec::new(),
            jobs: VecDeque::new(),
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
            if answer.is_none() {
                // Whoever was answered hears of it first.
                self.go_on_with_job();
            }
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

    /// Answers those whose turn has come; returns when there is something to do next.
    fn serve_waiting(&mut self) -> u64 {
        while let Some(index) = self.due(rt::sys::counter()) {
            let Waiting { reply, work, .. } = self.waiting.swap_remove(index);
            match work.perform(self.core) {
                Performed::Answer(answer) => self.send(reply, &answer),
                Performed::Begun(job) => self.begin(reply, job),
                Performed::Later => self.wait(reply, work, rt::sys::counter() + self.moment),
            }
        }
        let job = self.jobs.front().map(|working| working.until);
        let until = self.waiting.iter().map(|waiting| waiting.until);
        until.chain(job).min().unwrap_or(FOREVER)
    }

    /// Answers the caller in a Reply object, which is nobody's then.
    fn send(&mut self, reply: Reply, answer: &Outgoing) {
        match reply.send(answer) {
            // Who is gone needs none.
            Ok(()) | Err(Error::NoCaller) => {}
            Err(error) => rt::error!("an answer is lost: {}", error),
        }
        self.replies.push(reply);
    }

    /// Lets the caller in a Reply object wait until his work can be performed.
    fn wait(&mut self, reply: Reply, work: Work, until: u64) {
        self.waiting.push(Waiting { reply, work, until });
    }

    /// Begins a job for the caller in a Reply object.
    fn begin(&mut self, reply: Reply, job: Job) {
        let until = rt::sys::counter();
        self.jobs.push_back(Working { reply, job, until });
    }

    /// Does a piece of the first job, if its pause is over.
    fn go_on_with_job(&mut self) {
        let before = rt::sys::counter();
        let Some(working) = self.jobs.front_mut().filter(|job| job.until <= before) else {
            return;
        };
        let answer = working.job.go_on();
        let after = rt::sys::counter();
        working.until = after + (after - before);
        if let Some(answer) = answer
            && let Some(working) = self.jobs.pop_front()
        {
            self.send(working.reply, &answer);
        }
    }

    /// Ends all jobs.
    fn finish_jobs(&mut self) {
        while let Some(mut working) = self.jobs.pop_front() {
            let answer = working.job.finish();
            self.send(working.reply, &answer);
        }
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
            && let Some(reply) = self.put_aside()
        {
            if let Work::Request(process, _) = work {
                lock(|state| state.steward.note_slowed(process));
            }
            self.wait(reply, work, until);
            return None;
        }
        loop {
            let performed = work.perform(self.core);
            if let Performed::Answer(answer) = performed {
                return Some(answer);
            }
            if self.replies.is_empty() {
                self.finish_jobs();
            }
            match (performed, self.put_aside()) {
                (Performed::Begun(job), Some(reply)) => self.begin(reply, job),
                (Performed::Begun(mut job), None) => return Some(job.finish()),
                (_, Some(reply)) => self.wait(reply, work, now + self.moment),
                // Who moves it is another core.
                (_, None) => continue,
            }
            return None;
        }
    }

    /// Moves the caller into a Reply object, where there is one.
    fn put_aside(&mut self) -> Option<Reply> {
        let reply = self.replies.pop()?;
        if reply.save().is_err() {
            self.replies.push(reply);
            return None;
        }
        Some(reply)
    }
}
