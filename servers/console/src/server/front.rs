//! The first thread: rings, bells and the user.

use super::{FLUSHES_ASKED, FLUSHES_DONE, FLUSHES_FAILED, SHARED, Shared, flushed, take_log};
use crate::desk::Outcome;
use crate::{CONSOLES, ConsoleId, Desk, Multiplexer};
use abi::call::FOREVER;
use abi::{DeliveryKind, Error, ObjectKind};
use alloc::format;
use alloc::vec::Vec;
use api::ring::Ends;
use core::sync::atomic::Ordering::SeqCst;
use rt::{Endpoint, Incoming, Notification, grant};

/// Idle times per second: after one, an open line is a prompt that others may go before.
const IDLE_TIMES: u64 = 10;
/// Seconds after which a flush gives up: the driver takes nothing any more. An emulator that others slow
/// down may need some.
const FLUSH_SECONDS: u64 = 10;

/// What the first thread has.
pub(super) struct Front {
    endpoint: Endpoint,
    desk: Desk<'static>,
    /// Bells of the peers, by ring.
    bells: Vec<Notification>,
    /// Tells init that the user wants to leave.
    quit: Option<Notification>,
    /// Asks the memory server for its counters. It is not called: it calls the console to log.
    memory: Option<Notification>,
    /// When bytes were shown last.
    shown_at: u64,
    idle_ticks: u64,
}

/// Returns the ring with this number, and its peer's bell.
fn ring(index: u64) -> Option<(Ends<'static>, Notification)> {
    let page = grant::page(&format!("ring.{index}"))?;
    let bell = grant::indexed("bell", index)?.slot_of(ObjectKind::Notification)?;
    Some((Ends::of_console(page)?, Notification::own(bell)))
}

/// Returns when a flush that begins now gives up.
pub(super) fn flush_deadline() -> u64 {
    let ticks = grant::value("ticks").unwrap_or(0);
    rt::sys::counter().saturating_add(ticks.saturating_mul(FLUSH_SECONDS))
}

impl Front {
    /// Returns the first thread's things, or `None` where the ring of the driver is missing.
    pub(super) fn new(core: u64) -> Option<Self> {
        let (driver, bell) = ring(0)?;
        let guests = grant::value("guests").unwrap_or(0).min(CONSOLES as u64 - 1);
        let (rings, further): (Vec<_>, Vec<_>) = (1..=guests).map_while(ring).unzip();
        let quit = grant::slot("quit", ObjectKind::Notification).map(Notification::own);
        let memory = grant::slot("mem", ObjectKind::Notification).map(Notification::own);
        Some(Self {
            endpoint: rt::endpoint_of(core)?,
            desk: Desk::new(driver, rings),
            bells: core::iter::once(bell).chain(further).collect(),
            quit,
            memory,
            shown_at: 0,
            idle_ticks: grant::value("ticks").unwrap_or(0) / IDLE_TIMES,
        })
    }

    /// Serves until the endpoint is gone.
    pub(super) fn serve(&mut self) {
        loop {
            let again = self.turn();
            match self.endpoint.receive(self.deadline(again)) {
                Ok(message) => self.handle(&message),
                Err(Error::TimedOut) => {}
                Err(_) => return,
            }
            self.flush_where_asked();
        }
    }

    /// Handles a message; bits of the notification only say that there is something to do.
    fn handle(&mut self, message: &Incoming) {
        if message.kind() == Some(DeliveryKind::Notification) {
            return;
        }
        let answer = take_log(message).unwrap_or_else(|| flushed(self.flush()));
        let _ = rt::synchronization::reply(&answer);
    }

    /// Moves what there is to move; returns whether there may be more.
    fn turn(&mut self) -> bool {
        let mut shared = SHARED.lock();
        let Some(Shared { multiplexer, .. }) = &mut *shared else {
            return false;
        };
        let mut outcome = self.desk.gather(multiplexer);
        if outcome.metrics {
            report(multiplexer);
        }
        if outcome.quit {
            multiplexer.write(ConsoleId::HOST, b"skerry: quit\r\n");
            multiplexer.finish();
        }
        let now = rt::sys::counter();
        if now.saturating_sub(self.shown_at) >= self.idle_ticks {
            multiplexer.interrupt_line();
        }
        if self.desk.show(multiplexer) > 0 {
            self.shown_at = now;
            outcome.bells |= 1;
            // What was shown made room for what did not fit.
            outcome.again |= self.desk.is_waiting();
        }
        drop(shared);
        self.signal(outcome);
        outcome.again
    }

    /// Rings the bells, and init's where the user wants to leave.
    fn signal(&self, outcome: Outcome) {
        for (index, bell) in self.bells.iter().enumerate() {
            if outcome.bells >> index & 1 == 1 {
                let _ = bell.signal();
            }
        }
        if let Some(quit) = self.quit.filter(|_| outcome.quit) {
            let _ = quit.signal();
        }
        if let Some(memory) = self.memory.filter(|_| outcome.metrics) {
            let _ = memory.signal();
        }
    }

    /// Returns until when to wait: while the open line is not idle yet, until it is.
    fn deadline(&self, again: bool) -> u64 {
        let idle_at = self.shown_at.saturating_add(self.idle_ticks);
        if again {
            0
        } else if rt::sys::counter() < idle_at {
            idle_at
        } else {
            FOREVER
        }
    }

    /// Does the flushes that other threads asked for.
    fn flush_where_asked(&mut self) {
        let asked = FLUSHES_ASKED.load(SeqCst);
        if asked != FLUSHES_DONE.load(SeqCst) {
            FLUSHES_FAILED.fetch_add(u64::from(!self.flush()), SeqCst);
            FLUSHES_DONE.store(asked, SeqCst);
        }
    }

    /// Shows everything, unfinished lines too, and waits until the driver gave it to the chip; returns
    /// whether it did.
    fn flush(&mut self) -> bool {
        let give_up = flush_deadline();
        loop {
            let again = self.turn();
            let all = !again && self.desk.is_drained() && self.finish();
            if all || rt::sys::counter() >= give_up {
                return all;
            }
            let _ = rt::capability::yield_now();
        }
    }

    /// Ends all lines that have begun; returns whether there was nothing left to show.
    fn finish(&mut self) -> bool {
        let mut shared = SHARED.lock();
        let Some(Shared { multiplexer, lines }) = &mut *shared else {
            return true;
        };
        lines.finish(|line| multiplexer.write(ConsoleId::HOST, line));
        multiplexer.finish();
        let shown = self.desk.show(multiplexer);
        drop(shared);
        if shown > 0 {
            self.signal(Outcome {
                bells: 1,
                ..Outcome::default()
            });
        }
        shown == 0
    }
}

/// Writes the consoles' counters to the log.
fn report(multiplexer: &mut Multiplexer) {
    for console in (0..).map_while(ConsoleId::new) {
        let dropped = multiplexer.dropped(console);
        if dropped > 0 {
            let line = format!("console {}: {dropped} bytes lost\r\n", console.index());
            multiplexer.write(ConsoleId::HOST, line.as_bytes());
        }
    }
    let line = format!("consoles: focus on {}\r\n", multiplexer.focus().index());
    multiplexer.write(ConsoleId::HOST, line.as_bytes());
}
