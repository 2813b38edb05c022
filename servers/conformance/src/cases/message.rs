//! Call and receive: messages of every length, and their refusals.

use super::prelude::*;
use abi::message::{MAX_WORDS, REGISTER_WORDS};
use core::sync::atomic::Ordering::SeqCst;

/// Returns word `index` of the test message.
const fn pattern(index: usize) -> u64 {
    (index as u64 + 1) * 0x0101_0101_0101_0101
}

/// Receives from input 0, checks `input 1` words of the pattern and answers with the same words.
fn mirror(number: u64) {
    let note = crew::note(number);
    let endpoint = Endpoint::at(note.slot(0));
    let mut buffer = [0; MAX_WORDS];
    let mut answer = None;
    loop {
        let received = match answer.take() {
            Some(answer) => endpoint.reply_receive(&answer, FOREVER),
            None => endpoint.receive(FOREVER),
        };
        let Ok(message) = received else {
            return note.end(received.map(|_| 0));
        };
        let words = message.copy_words(&mut buffer);
        let right = words
            .iter()
            .enumerate()
            .all(|(index, word)| *word == pattern(index));
        answer = Some(Outgoing::new(u16::from(right)).with_words(words));
    }
}

/// Receives from input 0 and answers with the six words and the info as seven.
fn report_shape(number: u64) {
    let note = crew::note(number);
    let endpoint = Endpoint::at(note.slot(0));
    let Ok(message) = endpoint.receive(FOREVER) else {
        return;
    };
    note.value.store(message.info.words() as u64, SeqCst);
    let _ = reply(&Outgoing::new(2).with_words(&message.words));
}

/// Returns a helper that calls input 0 with this shape, from a thread without a message page.
#[track_caller]
fn pageless_caller(context: &Context, endpoint: Endpoint) -> Outcome<Helper> {
    context.spawn(Role::EAGER.without_page(), &[endpoint.bits()], |number| {
        let note = crew::note(number);
        let endpoint = Endpoint::at(note.slot(0));
        note.end(endpoint.call(&shaped(7, 0)).map(|_| 0));
    })
}

/// Builds a chain of relays in front of `last` and returns the endpoint of its head.
#[track_caller]
fn chain(context: &Context, last: Endpoint, length: usize) -> Outcome<Endpoint> {
    let mut onward = last;
    for _ in 0..length {
        let own = context.endpoint()?;
        context.spawn(Role::EAGER, &[onward.bits(), own.bits()], crew::relay)?;
        onward = own;
    }
    Ok(onward)
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Call,
        "0 to 120 words arrive, and so does the answer",
        |context| {
            let endpoint = context.endpoint()?;
            context.spawn(Role::EAGER, &[endpoint.bits()], mirror)?;
            let mut sent = [0; MAX_WORDS];
            for (index, word) in sent.iter_mut().enumerate() {
                *word = pattern(index);
            }
            for count in 0..=MAX_WORDS {
                let answer = endpoint.call(&words(&sent[..count]))?;
                ensure_equal!(answer.label(), 1);
                ensure_equal!(answer.info.words(), count);
                let mut buffer = [0; MAX_WORDS];
                ensure!(answer.copy_words(&mut buffer) == &sent[..count]);
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Call,
        "words in registers arrive whatever the length says",
        |context| {
            let endpoint = context.endpoint()?;
            let server = context.spawn(Role::EAGER, &[endpoint.bits()], report_shape)?;
            let mut message = Outgoing::new(1).with_words(&[5, 6]);
            message.words[3] = 77;
            let answer = endpoint.call(&message)?;
            ensure_equal!(server.count(), 2);
            ensure!(answer.words == [5, 6, 0, 77, 0, 0]);
            Ok(())
        },
    ),
    success(
        CallNumber::Call,
        "a long message is cut for a server without a page",
        |context| {
            let endpoint = context.endpoint()?;
            let role = Role::EAGER.without_page();
            let server = context.spawn(role, &[endpoint.bits()], report_shape)?;
            endpoint.call(&words(&[1; 100]))?;
            ensure_equal!(server.count(), REGISTER_WORDS);
            Ok(())
        },
    ),
    success(
        CallNumber::Call,
        "the server sees the badge of the capability used",
        |context| {
            let endpoint = context.endpoint()?;
            let badged = context.mint(endpoint.capability(), Rights::ALL, 0xbad6e)?;
            let caller = context.caller(Endpoint::at(badged.slot()))?;
            let message = endpoint.receive(0)?;
            ensure_equal!(message.badge, 0xbad6e);
            ensure!(message.kind() == Some(DeliveryKind::Call));
            ensure_equal!(message.label(), 7);
            ensure_equal!(message.words[0], caller.number);
            settle(context, &caller)
        },
    ),
    success(CallNumber::Call, "fifteen calls deep", |context| {
        let endpoint = context.endpoint()?;
        context.spawn(Role::EAGER, &[endpoint.bits()], crew::echo)?;
        let head = chain(context, endpoint, 14)?;
        ensure_equal!(head.call(&words(&[1]))?.words[0], 1);
        Ok(())
    }),
    refusal(
        CallNumber::Call,
        Error::BadArgument,
        "more words or capabilities than fit",
        |context| {
            let endpoint = context.endpoint()?;
            context.refuses(Error::BadArgument, || endpoint.call(&shaped(121, 0)))?;
            context.refuses(Error::BadArgument, || endpoint.call(&shaped(127, 0)))?;
            context.refuses(Error::BadArgument, || endpoint.call(&shaped(0, 5)))
        },
    ),
    refusal(
        CallNumber::Call,
        Error::NotConfigured,
        "a long message without a page",
        |context| {
            let endpoint = context.endpoint()?;
            let helper = pageless_caller(context, endpoint)?;
            expect_error(context.end_of(&helper)?, Error::NotConfigured)
        },
    ),
    refusal(
        CallNumber::Call,
        Error::WrongCore,
        "an endpoint of another core",
        |context| {
            let endpoint = context.endpoint_on(context.other_core()?)?;
            context.refuses(Error::WrongCore, || endpoint.call(&Outgoing::new(0)))
        },
    ),
    refusal(
        CallNumber::Call,
        Error::CallTooDeep,
        "a chain of nineteen",
        |context| {
            let endpoint = context.endpoint()?;
            context.spawn(Role::EAGER, &[endpoint.bits()], crew::echo)?;
            let head = chain(context, endpoint, 18)?;
            let answer = head.call(&words(&[1]))?.words[0];
            ensure_equal!(answer, Error::CallTooDeep.number() | 1 << 32);
            Ok(())
        },
    ),
    refusal(
        CallNumber::Call,
        Error::ServerGone,
        "the endpoint goes while the call waits",
        |context| {
            let endpoint = context.endpoint()?;
            let caller = context.caller(endpoint)?;
            endpoint.capability().delete()?;
            expect_error(context.end_of(&caller)?, Error::ServerGone)
        },
    ),
    refusal(
        CallNumber::Call,
        Error::ServerGone,
        "the server is deleted before it answers",
        |context| {
            let endpoint = context.endpoint()?;
            let server = context.spawn(Role::EAGER, &[endpoint.bits()], |number| {
                let received = Endpoint::at(crew::note(number).slot(0)).receive(FOREVER);
                crew::note(number)
                    .value
                    .store(u64::from(received.is_ok()), SeqCst);
                let _ = Notification::own(crate::context::QUIET_HELPER).wait(FOREVER);
            })?;
            let caller = context.caller(endpoint)?;
            ensure_equal!(server.count(), 1);
            ensure!(caller.ended().is_none());
            server.thread.capability().delete()?;
            expect_error(context.end_of(&caller)?, Error::ServerGone)
        },
    ),
    refusal(
        CallNumber::Call,
        Error::NotCopyable,
        "untyped memory in a message",
        |context| {
            let (endpoint, untyped) = (context.endpoint()?, context.untyped(12)?);
            context.refuses(Error::NotCopyable, || {
                endpoint.call(&Outgoing::new(0).with_capabilities(&[untyped.capability().slot()]))
            })
        },
    ),
    refusal(
        CallNumber::Call,
        Error::NoCapability,
        "an empty slot in a message",
        |context| {
            let (endpoint, empty) = (context.endpoint()?, context.slot());
            context.refuses(Error::NoCapability, || {
                endpoint.call(&Outgoing::new(0).with_capabilities(&[empty]))
            })
        },
    ),
    refusal(
        CallNumber::Call,
        Error::MissingRight,
        "a capability without grant in a message",
        |context| {
            let (endpoint, frame) = (context.endpoint()?, context.frame(12)?);
            let kept = context.mint(frame.capability(), read_write(), 0)?;
            context.refuses(Error::MissingRight, || {
                endpoint.call(&Outgoing::new(0).with_capabilities(&[kept.slot()]))
            })
        },
    ),
    success(
        CallNumber::Receive,
        "bits of the bound notification arrive",
        |context| {
            let (endpoint, notification) = (context.endpoint()?, context.notification()?);
            let thread = context.thread_on(0)?;
            thread.bind(Binding::Notification, Some(notification.capability()))?;
            let budget = context.budget_on(0)?;
            let input = [endpoint.bits()];
            let helper = context.start(Role::EAGER, (thread, budget), &input, |number| {
                let note = crew::note(number);
                let result = Endpoint::at(note.slot(0)).receive(FOREVER);
                let value = result.map(|message| {
                    u64::from(message.info.kind()) << 32 | message.badge << 16 | message.words[0]
                });
                note.end(value);
            })?;
            ensure!(helper.ended().is_none());
            notification.signal()?;
            let expected = DeliveryKind::Notification.number() << 32 | 1;
            ensure!(context.end_of(&helper)? == Ok(expected));
            Ok(())
        },
    ),
    success(
        CallNumber::Receive,
        "bits that came before the receive arrive too",
        |context| {
            let (endpoint, notification) = (context.endpoint()?, context.notification()?);
            notification.signal()?;
            let thread = context.thread_on(0)?;
            thread.bind(Binding::Notification, Some(notification.capability()))?;
            let pair = (thread, context.budget_on(0)?);
            let helper = context.start(Role::EAGER, pair, &[endpoint.bits()], crew::receive)?;
            ensure!(helper.ended() == Some(Ok(1)));
            Ok(())
        },
    ),
    refusal(
        CallNumber::Receive,
        Error::WrongCore,
        "an endpoint of another core",
        |context| {
            let endpoint = context.endpoint_on(context.other_core()?)?;
            context.refuses(Error::WrongCore, || endpoint.receive(0))
        },
    ),
    refusal(
        CallNumber::Receive,
        Error::WrongState,
        "a caller is unanswered",
        |context| {
            let (endpoint, caller) = pending(context)?;
            context.refuses(Error::WrongState, || endpoint.receive(0))?;
            settle(context, &caller)
        },
    ),
    refusal(
        CallNumber::Receive,
        Error::TimedOut,
        "nobody calls in time",
        |context| {
            let endpoint = context.endpoint()?;
            context.refuses(Error::TimedOut, || endpoint.receive(0))?;
            let deadline = context.after(3_000);
            context.refuses(Error::TimedOut, || endpoint.receive(deadline))?;
            ensure!(rt::sys::counter() >= deadline);
            Ok(())
        },
    ),
];
