//! Reply, ReplyReceive, SaveReply and ReplyTo.

use super::prelude::*;

/// Makes a helper without a message page that receives once from a fresh endpoint and then tries
/// `answer`; returns it with the caller that waits for it.
#[track_caller]
fn pageless_server(context: &Context, input: &[u64], answer: fn(u64)) -> Outcome<(Helper, Helper)> {
    let endpoint = context.endpoint()?;
    let mut all = [endpoint.bits(), 0, 0];
    for (place, value) in all[1..].iter_mut().zip(input) {
        *place = *value;
    }
    let server = context.spawn(Role::EAGER.without_page(), &all, answer)?;
    Ok((server, context.caller(endpoint)?))
}

/// Checks that a pageless server was refused and its caller still got the short answer.
#[track_caller]
fn refused_then_answered(context: &Context, server: &Helper, caller: &Helper) -> Outcome {
    expect_error(context.end_of(server)?, Error::NotConfigured)?;
    ensure!(context.end_of(caller)? == Ok(42));
    Ok(())
}

/// Makes a pending caller, refuses one reply with this message, and settles.
#[track_caller]
fn reply_refused(context: &Context, error: Error, message: &Outgoing) -> Outcome {
    let (_, caller) = pending(context)?;
    context.refuses(error, || reply(message))?;
    settle(context, &caller)
}

/// Like [`reply_refused`], with `ReplyReceive`.
#[track_caller]
fn reply_receive_refused(context: &Context, error: Error, message: &Outgoing) -> Outcome {
    let (endpoint, caller) = pending(context)?;
    context.refuses(error, || endpoint.reply_receive(message, 0))?;
    settle(context, &caller)
}

/// Makes a pending caller, tries `ReplyReceive` at another capability, and settles.
#[track_caller]
fn wrong_endpoint(context: &Context, error: Error, endpoint: Capability) -> Outcome {
    let (_, caller) = pending(context)?;
    let endpoint = Endpoint::at(endpoint.slot());
    context.refuses(error, || endpoint.reply_receive(&words(&[1]), 0))?;
    ensure!(caller.ended().is_none());
    settle(context, &caller)
}

/// Makes a saved caller, refuses one answer with this message, and answers.
#[track_caller]
fn reply_to_refused(context: &Context, error: Error, message: &Outgoing) -> Outcome {
    let (_, caller) = pending(context)?;
    let saved = context.reply()?;
    saved.save()?;
    context.refuses(error, || saved.send(message))?;
    saved.send(&words(&[42]))?;
    ensure!(context.end_of(&caller)? == Ok(42));
    Ok(())
}

/// Returns a message with one capability that cannot travel.
#[track_caller]
fn with_untyped(context: &Context) -> Outcome<Outgoing> {
    let slot = context.untyped(12)?.capability().slot();
    Ok(Outgoing::new(0).with_capabilities(&[slot]))
}

/// Returns a message with one capability that may not be granted.
#[track_caller]
fn with_ungranted(context: &Context) -> Outcome<Outgoing> {
    let frame = context.frame(12)?.capability();
    let kept = context.mint(frame, read_write(), 0)?;
    Ok(Outgoing::new(0).with_capabilities(&[kept.slot()]))
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Reply,
        "the caller gets the words and goes on",
        |context| {
            let (_, caller) = pending(context)?;
            ensure!(caller.ended().is_none());
            settle(context, &caller)
        },
    ),
    refusal(
        CallNumber::Reply,
        Error::NoCaller,
        "nobody waits",
        |context| context.refuses(Error::NoCaller, || reply(&Outgoing::new(0))),
    ),
    refusal(
        CallNumber::Reply,
        Error::NoCaller,
        "the caller is answered already",
        |context| {
            let (_, caller) = pending(context)?;
            settle(context, &caller)?;
            context.refuses(Error::NoCaller, || reply(&Outgoing::new(0)))
        },
    ),
    refusal(
        CallNumber::Reply,
        Error::BadArgument,
        "more words than fit",
        |context| reply_refused(context, Error::BadArgument, &shaped(121, 0)),
    ),
    refusal(
        CallNumber::Reply,
        Error::BadArgument,
        "more capabilities than fit",
        |context| reply_refused(context, Error::BadArgument, &shaped(0, 5)),
    ),
    refusal(
        CallNumber::Reply,
        Error::NotConfigured,
        "a long answer without a page",
        |context| {
            let (server, caller) = pageless_server(context, &[], |number| {
                let note = crew::note(number);
                let _ = Endpoint::at(note.slot(0)).receive(FOREVER);
                let result = reply(&shaped(7, 0));
                let _ = reply(&words(&[42]));
                note.end(result.map(|()| 0));
            })?;
            refused_then_answered(context, &server, &caller)
        },
    ),
    refusal(
        CallNumber::Reply,
        Error::NoCapability,
        "an empty slot in the answer",
        |context| {
            let (_, caller) = pending(context)?;
            let message = Outgoing::new(0).with_capabilities(&[context.slot()]);
            context.refuses(Error::NoCapability, || reply(&message))?;
            settle(context, &caller)
        },
    ),
    refusal(
        CallNumber::Reply,
        Error::MissingRight,
        "a capability without grant",
        |context| {
            let (_, caller) = pending(context)?;
            let message = with_ungranted(context)?;
            context.refuses(Error::MissingRight, || reply(&message))?;
            settle(context, &caller)
        },
    ),
    refusal(
        CallNumber::Reply,
        Error::NotCopyable,
        "untyped memory",
        |context| {
            let (_, caller) = pending(context)?;
            let message = with_untyped(context)?;
            context.refuses(Error::NotCopyable, || reply(&message))?;
            settle(context, &caller)
        },
    ),
    success(
        CallNumber::ReplyReceive,
        "answers one and receives the next",
        |context| {
            let (endpoint, first) = pending(context)?;
            let second = context.caller(endpoint)?;
            let message = endpoint.reply_receive(&words(&[42]), context.soon())?;
            ensure_equal!(message.words[0], second.number);
            ensure!(first.ended() == Some(Ok(42)));
            settle(context, &second)
        },
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::NoCapability,
        "an empty slot, and no answer",
        |context| wrong_endpoint(context, Error::NoCapability, Capability::at(context.slot())),
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::WrongObject,
        "no endpoint, and no answer",
        |context| {
            wrong_endpoint(
                context,
                Error::WrongObject,
                context.notification()?.capability(),
            )
        },
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::MissingRight,
        "a right too few, and no answer",
        |context| {
            let endpoint = context.endpoint()?.capability();
            let less = context.mint(endpoint, all_but(Rights::new().with_receive(true)), 0)?;
            wrong_endpoint(context, Error::MissingRight, less)
        },
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::WrongCore,
        "another core's endpoint, no answer",
        |context| {
            let endpoint = context.endpoint_on(context.other_core()?)?;
            wrong_endpoint(context, Error::WrongCore, endpoint.capability())
        },
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::TimedOut,
        "answered, but nobody calls in time",
        |context| {
            let (endpoint, caller) = pending(context)?;
            expect_error(endpoint.reply_receive(&words(&[42]), 0), Error::TimedOut)?;
            ensure!(context.end_of(&caller)? == Ok(42));
            context.refuses(Error::NoCaller, || reply(&Outgoing::new(0)))
        },
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::NoCaller,
        "nobody waits",
        |context| {
            let endpoint = context.endpoint()?;
            context.refuses(Error::NoCaller, || endpoint.reply_receive(&words(&[1]), 0))
        },
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::BadArgument,
        "more words than fit",
        |context| reply_receive_refused(context, Error::BadArgument, &shaped(121, 0)),
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::NotConfigured,
        "a long answer without a page",
        |context| {
            let (server, caller) = pageless_server(context, &[], |number| {
                let note = crew::note(number);
                let endpoint = Endpoint::at(note.slot(0));
                let _ = endpoint.receive(FOREVER);
                let result = endpoint.reply_receive(&shaped(7, 0), 0);
                let _ = reply(&words(&[42]));
                note.end(result.map(|_| 0));
            })?;
            refused_then_answered(context, &server, &caller)
        },
    ),
    refusal(
        CallNumber::ReplyReceive,
        Error::NotCopyable,
        "untyped memory",
        |context| {
            let (endpoint, caller) = pending(context)?;
            let message = with_untyped(context)?;
            context.refuses(Error::NotCopyable, || endpoint.reply_receive(&message, 0))?;
            settle(context, &caller)
        },
    ),
    success(
        CallNumber::SaveReply,
        "a saved caller waits while others are served",
        |context| {
            let (endpoint, first) = pending(context)?;
            let saved = context.reply()?;
            saved.save()?;
            let second = context.caller(endpoint)?;
            endpoint.receive(context.soon())?;
            settle(context, &second)?;
            ensure!(first.ended().is_none());
            saved.send(&words(&[41]))?;
            ensure!(context.end_of(&first)? == Ok(41));
            Ok(())
        },
    ),
    refusal(
        CallNumber::SaveReply,
        Error::NoCapability,
        "an empty slot",
        |context| {
            let (_, caller) = pending(context)?;
            let empty = Reply::at(context.slot());
            context.refuses(Error::NoCapability, || empty.save())?;
            settle(context, &caller)
        },
    ),
    refusal(
        CallNumber::SaveReply,
        Error::WrongObject,
        "no Reply object",
        |context| {
            let (endpoint, caller) = pending(context)?;
            let wrong = Reply::at(endpoint.capability().slot());
            context.refuses(Error::WrongObject, || wrong.save())?;
            settle(context, &caller)
        },
    ),
    refusal(
        CallNumber::SaveReply,
        Error::NoCaller,
        "nobody waits",
        |context| {
            let saved = context.reply()?;
            context.refuses(Error::NoCaller, || saved.save())
        },
    ),
    refusal(
        CallNumber::SaveReply,
        Error::WrongState,
        "it holds a caller already",
        |context| {
            let (endpoint, first) = pending(context)?;
            let saved = context.reply()?;
            saved.save()?;
            let second = context.caller(endpoint)?;
            endpoint.receive(context.soon())?;
            context.refuses(Error::WrongState, || saved.save())?;
            settle(context, &second)?;
            saved.send(&words(&[1]))?;
            ensure!(context.end_of(&first)? == Ok(1));
            Ok(())
        },
    ),
    refusal(
        CallNumber::SaveReply,
        Error::WrongCore,
        "a Reply of another core",
        |context| {
            let far = context.make(ObjectKind::Reply, context.other_core()?)?;
            let (_, caller) = pending(context)?;
            context.refuses(Error::WrongCore, || Reply::at(far.slot()).save())?;
            settle(context, &caller)
        },
    ),
    success(
        CallNumber::ReplyTo,
        "saved callers are answered in any order",
        |context| {
            let endpoint = context.endpoint()?;
            let mut saved = [None; 6];
            for place in &mut saved {
                let caller = context.caller(endpoint)?;
                endpoint.receive(context.soon())?;
                let reply = context.reply()?;
                reply.save()?;
                *place = Some((caller, reply));
            }
            for index in [3, 0, 5, 1, 4, 2] {
                let Some((caller, reply)) = saved[index] else {
                    continue;
                };
                ensure!(caller.ended().is_none());
                reply.send(&words(&[index as u64]))?;
                ensure!(context.end_of(&caller)? == Ok(index as u64));
            }
            Ok(())
        },
    ),
    success(
        CallNumber::ReplyTo,
        "a Reply can be used again",
        |context| {
            let endpoint = context.endpoint()?;
            let saved = context.reply()?;
            for round in 0..3 {
                let caller = context.caller(endpoint)?;
                endpoint.receive(context.soon())?;
                saved.save()?;
                saved.send(&words(&[round]))?;
                ensure!(context.end_of(&caller)? == Ok(round));
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::NoCapability,
        "an empty slot",
        |context| {
            let empty = Reply::at(context.slot());
            context.refuses(Error::NoCapability, || empty.send(&Outgoing::new(0)))
        },
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::WrongObject,
        "no Reply object",
        |context| {
            let wrong = Reply::at(context.endpoint()?.capability().slot());
            context.refuses(Error::WrongObject, || wrong.send(&Outgoing::new(0)))
        },
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::MissingRight,
        "a capability without grant",
        |context| {
            let (_, caller) = pending(context)?;
            let saved = context.reply()?;
            saved.save()?;
            let message = with_ungranted(context)?;
            context.refuses(Error::MissingRight, || saved.send(&message))?;
            saved.send(&words(&[42]))?;
            ensure!(context.end_of(&caller)? == Ok(42));
            Ok(())
        },
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::NoCaller,
        "an empty Reply",
        |context| {
            let saved = context.reply()?;
            context.refuses(Error::NoCaller, || saved.send(&Outgoing::new(0)))
        },
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::WrongCore,
        "a Reply of another core",
        |context| {
            let far = context.make(ObjectKind::Reply, context.other_core()?)?;
            context.refuses(Error::WrongCore, || {
                Reply::at(far.slot()).send(&Outgoing::new(0))
            })
        },
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::BadArgument,
        "more words than fit",
        |context| reply_to_refused(context, Error::BadArgument, &shaped(121, 0)),
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::NotConfigured,
        "a long answer without a page",
        |context| {
            let saved = context.reply()?;
            let (server, caller) = pageless_server(context, &[saved.bits()], |number| {
                let note = crew::note(number);
                let saved = Reply::at(note.slot(1));
                let _ = Endpoint::at(note.slot(0)).receive(FOREVER);
                let _ = saved.save();
                let result = saved.send(&shaped(7, 0));
                let _ = saved.send(&words(&[42]));
                note.end(result.map(|()| 0));
            })?;
            refused_then_answered(context, &server, &caller)
        },
    ),
    refusal(
        CallNumber::ReplyTo,
        Error::NotCopyable,
        "untyped memory",
        |context| {
            let (_, caller) = pending(context)?;
            let saved = context.reply()?;
            saved.save()?;
            let message = with_untyped(context)?;
            context.refuses(Error::NotCopyable, || saved.send(&message))?;
            saved.send(&words(&[42]))?;
            ensure!(context.end_of(&caller)? == Ok(42));
            Ok(())
        },
    ),
];
