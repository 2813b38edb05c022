//! Calls, replies and signals.

use crate::machine;
use crate::partner::{Partner, SHARED, WAITS_AT};
use crate::samples::ROUNDS;
use crate::stage::{Stage, counted, counted_message};
use abi::message::MAX_WORDS;
use abi::{CallNumber, Error, MessageInfo};
use rt::Outgoing;

/// Lengths of messages and the names of their rows.
const LENGTHS: [(usize, &str); 5] = [
    (0, "call_reply_0_words"),
    (4, "call_reply_4_words"),
    (6, "call_reply_6_words"),
    (8, "call_reply_8_words"),
    (MAX_WORDS, "call_reply_120_words"),
];

/// Measures the call that does least: it asks for the version.
pub fn null_system_call(stage: &Stage) -> Result<(), Error> {
    let mut samples = stage.samples();
    for _ in 0..ROUNDS {
        let [before, after] = counted(CallNumber::Identify, [0])?;
        samples.add(before, after);
    }
    samples.print("null_system_call");
    Ok(())
}

/// Measures calls of a server in another space that answers with what it got.
pub fn round_trips(stage: &Stage) -> Result<(), Error> {
    let partner = Partner::new(stage, 0, &(machine::current().echo)(), 64)?;
    let endpoint = stage.endpoint()?;
    partner.give(WAITS_AT, endpoint.capability())?;
    partner.start(0)?;
    for (length, name) in LENGTHS {
        let mut samples = stage.samples();
        let words: [u64; MAX_WORDS] = core::array::from_fn(|index| index as u64 + 1);
        let info = Outgoing::new(0).with_words(&words[..length]).info;
        for _ in 0..ROUNDS {
            let (results, [before, after]) =
                counted_message(CallNumber::Call, endpoint.bits(), info)?;
            samples.add(before, after);
            check_echo(&results, info)?;
        }
        samples.print(name);
    }
    partner.thread.stop()
}

/// Fails unless a reply has the shape and the words of what was sent.
fn check_echo(results: &rt::sys::Results, sent: MessageInfo) -> Result<(), Error> {
    let info = MessageInfo::from_bits(results.word as u32);
    let count = sent.words().min(6);
    let same = (1..=count).all(|index| results.x[index] == index as u64);
    if info.words() == sent.words() && same {
        Ok(())
    } else {
        Err(Error::BadArgument)
    }
}

/// Measures signals, without a waiter and with one of a higher priority in another space.
pub fn signals(stage: &Stage) -> Result<(), Error> {
    let notification = stage.notification()?;
    let mut samples = stage.samples();
    for _ in 0..ROUNDS {
        let [before, after] = counted(CallNumber::Signal, [notification.bits()])?;
        samples.add(before, after);
        notification.wait(0)?;
    }
    samples.print("signal_no_waiter");
    let partner = Partner::new(stage, 0, &(machine::current().wait)(), 64)?;
    partner.give(WAITS_AT, notification.capability())?;
    partner.start(SHARED)?;
    let mut samples = stage.samples();
    for _ in 0..ROUNDS {
        let [before, _] = counted(CallNumber::Signal, [notification.bits()])?;
        samples.add(before, partner.shared.load(0));
    }
    samples.print("signal_wakes_waiter");
    partner.thread.stop()
}
