//! The process: one thread per core takes the log there, and the first has the rings too.

mod front;

use crate::{ConsoleId, LogLines, Mode, Multiplexer};
use abi::message::MAX_WORDS;
use abi::{DeliveryKind, ObjectKind};
use alloc::string::String;
use alloc::vec::Vec;
use api::Refused;
use api::frame::MAX_EVENT;
use api::log::{EVENT_LABEL, FLUSH_LABEL, LABEL, MAX_TEXT, decode};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use front::Front;
use rt::serve::refusal;
use rt::{Incoming, Notification, Outgoing, ReplyAction, TicketLock, grant};

/// What all threads share.
struct Shared {
    multiplexer: Multiplexer,
    lines: LogLines,
}

static SHARED: TicketLock<Option<Shared>> = TicketLock::new(None);
/// Flushes that threads asked the first one for.
static FLUSHES_ASKED: AtomicU64 = AtomicU64::new(0);
/// Those of them that were done.
static FLUSHES_DONE: AtomicU64 = AtomicU64::new(0);
/// Those of these that gave up.
static FLUSHES_FAILED: AtomicU64 = AtomicU64::new(0);

/// Runs the console, which never returns.
pub fn run() -> ! {
    *SHARED.lock() = Some(Shared {
        multiplexer: multiplexer(),
        lines: LogLines::new(),
    });
    rt::run_on_cores(serve_core);
    rt::spawn::exit()
}

/// Returns the multiplexer as the grants want it: names of the consoles, and the mode.
fn multiplexer() -> Multiplexer {
    let guests = grant::value("guests").unwrap_or(0);
    let arguments = grant::bytes("arguments").and_then(|bytes| core::str::from_utf8(bytes).ok());
    let mut words = arguments.unwrap_or("").split_whitespace();
    let mode = if words.any(|word| word == "batch") {
        Mode::Batch { prefix: guests > 1 }
    } else {
        Mode::Interactive
    };
    let mut multiplexer = Multiplexer::new(mode);
    let names = grant::bytes("names").and_then(|bytes| postcard::from_bytes(bytes).ok());
    let names: Vec<String> = names.unwrap_or_default();
    for (console, name) in (0..).map_while(ConsoleId::new).zip(&names) {
        multiplexer.set_name(console, name);
    }
    if let Some(first) = ConsoleId::new(1).filter(|_| guests > 0) {
        multiplexer.set_focus(first);
    }
    multiplexer
}

/// Serves one core.
fn serve_core(core: u64) {
    if rt::block::thread_index() == 0 {
        if let Some(mut front) = Front::new(core) {
            front.serve();
        }
        return;
    }
    let slot = grant::slot("notification", ObjectKind::Notification);
    let (Some(endpoint), Some(wake)) = (rt::endpoint_of(core), slot.map(Notification::own)) else {
        return;
    };
    let _ = rt::serve(endpoint, |message| {
        let Some(answer) = take_log(message) else {
            return ReplyAction::Reply(flushed(ask_for_flush(wake)));
        };
        let _ = wake.signal();
        match message.kind() {
            Some(DeliveryKind::Call) => ReplyAction::Reply(answer),
            _ => ReplyAction::Wait,
        }
    });
}

/// Takes the text or the event of a message; returns the answer, or `None` where it asks for a flush.
fn take_log(message: &Incoming) -> Option<Outgoing> {
    if message.kind() != Some(DeliveryKind::Call) {
        return Some(refusal(Refused::Malformed));
    }
    match message.label() {
        FLUSH_LABEL => return None,
        LABEL | EVENT_LABEL => {}
        _ => return Some(refusal(Refused::Malformed)),
    }
    let (mut words, mut text) = ([0; MAX_WORDS], [0; MAX_TEXT]);
    let Some(count) = decode(message.copy_words(&mut words), &mut text) else {
        return Some(refusal(Refused::Malformed));
    };
    let text = text.get(..count).unwrap_or_default();
    let Some(Shared { multiplexer, lines }) = &mut *SHARED.lock() else {
        return Some(Outgoing::new(0));
    };
    if message.label() == LABEL {
        lines.take(message.badge, text, |line| {
            multiplexer.write(ConsoleId::HOST, line);
        });
        return Some(Outgoing::new(0));
    }
    // The kernel vouches for the badge: nobody logs in another's name.
    match u16::try_from(message.badge) {
        Ok(tag) if text.len() <= MAX_EVENT => multiplexer.write_event(tag, text),
        _ => return Some(refusal(Refused::Malformed)),
    }
    Some(Outgoing::new(0))
}

/// Returns the answer to who asked for a flush.
fn flushed(all: bool) -> Outgoing {
    Outgoing::new(0).with_words(&[u64::from(!all)])
}

/// Lets the first thread flush, and waits for that, for as long as a flush may take; returns whether
/// all was given to the chip.
fn ask_for_flush(wake: Notification) -> bool {
    let failed = FLUSHES_FAILED.load(SeqCst);
    let own = FLUSHES_ASKED.fetch_add(1, SeqCst) + 1;
    let _ = wake.signal();
    let give_up = front::flush_deadline();
    while FLUSHES_DONE.load(SeqCst) < own && rt::sys::counter() < give_up {
        let _ = rt::capability::yield_now();
    }
    FLUSHES_DONE.load(SeqCst) >= own && FLUSHES_FAILED.load(SeqCst) == failed
}
