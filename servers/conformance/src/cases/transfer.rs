//! Capabilities in messages.

use super::derivation::is_empty;
use super::prelude::*;
use rt::message::set_receive_slots;

/// Calls input 0 with the capabilities in slots input 1 and, unless it is 0, input 2.
fn send(number: u64) {
    let note = crew::note(number);
    let slots = [note.slot(1), note.slot(2)];
    let count = if slots[1].index == 0 { 1 } else { 2 };
    let message = Outgoing::new(0)
        .with_words(&[number])
        .with_capabilities(&slots[..count]);
    note.end(
        Endpoint::at(note.slot(0))
            .call(&message)
            .map(|reply| reply.words[0]),
    );
}

/// Receives a message with capabilities; returns its count of them, and its caller.
#[track_caller]
fn receive_from(
    context: &Context,
    sent: &[Capability],
    places: &[SlotAddress],
) -> Outcome<(usize, Helper)> {
    let endpoint = context.endpoint()?;
    let mut input = [endpoint.bits(), 0, 0];
    for (place, capability) in input[1..].iter_mut().zip(sent) {
        *place = capability.bits();
    }
    let caller = context.spawn(Role::EAGER, &input, send)?;
    let mut all = [SlotAddress::own(0); 4];
    all[..places.len()].copy_from_slice(places);
    set_receive_slots(&all);
    let message = endpoint.receive(context.soon())?;
    Ok((message.info.caps(), caller))
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Call,
        "a capability arrives as a child of the sender's",
        |context| {
            let sent = context.mint(context.endpoint()?.capability(), Rights::ALL, 0x77)?;
            let place = context.slot();
            let (count, caller) = receive_from(context, &[sent], &[place])?;
            ensure_equal!(count, 1);
            ensure!(Capability::at(place).identify()? == sent.identify()?);
            settle(context, &caller)?;
            sent.revoke()?;
            is_empty(Capability::at(place))
        },
    ),
    success(
        CallNumber::Call,
        "two capabilities arrive in their places",
        |context| {
            let (frame, thread) = (
                context.frame(12)?.capability(),
                context.thread_on(0)?.capability(),
            );
            let places = [context.slot(), context.slot()];
            let (count, caller) = receive_from(context, &[frame, thread], &places)?;
            ensure_equal!(count, 2);
            ensure_equal!(
                Capability::at(places[0]).identify()?.kind,
                ObjectKind::Frame.number()
            );
            ensure_equal!(
                Capability::at(places[1]).identify()?.kind,
                ObjectKind::Thread.number()
            );
            settle(context, &caller)
        },
    ),
    success(
        CallNumber::Call,
        "a place that is taken keeps what it has",
        |context| {
            let (sent, kept) = (
                context.frame(12)?.capability(),
                context.endpoint()?.capability(),
            );
            let before = kept.identify()?;
            let (count, caller) = receive_from(context, &[sent], &[kept.slot()])?;
            ensure_equal!(count, 0);
            ensure!(kept.identify()? == before);
            settle(context, &caller)
        },
    ),
    success(
        CallNumber::Call,
        "without a place the capability stays behind",
        |context| {
            let sent = context.frame(12)?.capability();
            let (count, caller) = receive_from(context, &[sent], &[])?;
            ensure_equal!(count, 0);
            settle(context, &caller)
        },
    ),
    success(CallNumber::Call, "a place in another table", |context| {
        let table = context.table(64)?.capability().slot().index;
        let place = SlotAddress::within(table, 33);
        let sent = context.frame(12)?.capability();
        let (count, caller) = receive_from(context, &[sent], &[place])?;
        ensure_equal!(count, 1);
        ensure_equal!(
            Capability::at(place).identify()?.kind,
            ObjectKind::Frame.number()
        );
        settle(context, &caller)
    }),
    success(
        CallNumber::Reply,
        "a capability in the answer arrives",
        |context| {
            let endpoint = context.endpoint()?;
            let place = context.slot();
            let caller = context.spawn(
                Role::EAGER,
                &[endpoint.bits(), place.into_bits()],
                |number| {
                    let note = crew::note(number);
                    set_receive_slots(&[note.slot(1), SlotAddress::own(0), SlotAddress::own(0)]);
                    let result = Endpoint::at(note.slot(0)).call(&Outgoing::new(0));
                    note.end(result.map(|answer| answer.info.caps() as u64));
                },
            )?;
            endpoint.receive(context.soon())?;
            let sent = context.frame(13)?.capability();
            reply(&Outgoing::new(0).with_capabilities(&[sent.slot()]))?;
            ensure!(context.end_of(&caller)? == Ok(1));
            ensure!(Capability::at(place).identify()? == sent.identify()?);
            Ok(())
        },
    ),
];
