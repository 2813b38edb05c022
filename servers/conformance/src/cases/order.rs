//! Who is served when.

use super::prelude::*;

/// Receives and answers `count` messages and returns the numbers of their senders.
#[track_caller]
fn serve_in_turn<const N: usize>(context: &Context, endpoint: Endpoint) -> Outcome<[u64; N]> {
    let mut order = [0; N];
    for place in &mut order {
        *place = endpoint.receive(context.soon())?.words[0];
        reply(&Outgoing::new(0))?;
    }
    Ok(order)
}

/// The cases.
pub const CASES: &[Case] = &[
    success(CallNumber::Call, "the server waits first", |context| {
        let endpoint = context.endpoint()?;
        context.spawn(Role::EAGER, &[endpoint.bits()], crew::echo)?;
        for word in [0, 41, u64::MAX] {
            ensure_equal!(
                endpoint.call(&words(&[word]))?.words[0],
                word.wrapping_add(1)
            );
        }
        Ok(())
    }),
    success(
        CallNumber::Call,
        "a server of lower priority is waited for",
        |context| {
            let endpoint = context.endpoint()?;
            context.spawn(
                Role::EAGER.with_priority(LOW),
                &[endpoint.bits()],
                crew::echo,
            )?;
            for word in 0..10 {
                ensure_equal!(endpoint.call(&words(&[word]))?.words[0], word + 1);
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Call,
        "a server of the same priority",
        |context| {
            let endpoint = context.endpoint()?;
            context.spawn(
                Role::EAGER.with_priority(PRIORITY),
                &[endpoint.bits()],
                crew::echo,
            )?;
            for word in 0..10 {
                ensure_equal!(endpoint.call(&words(&[word]))?.words[0], word + 1);
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Receive,
        "callers of one priority come first in, first out",
        |context| {
            let endpoint = context.endpoint()?;
            let mut callers = [0; 5];
            for number in &mut callers {
                *number = context.caller(endpoint)?.number;
            }
            ensure!(serve_in_turn::<5>(context, endpoint)? == callers);
            Ok(())
        },
    ),
    success(
        CallNumber::Receive,
        "callers of higher priority come first",
        |context| {
            let endpoint = context.endpoint()?;
            let mut expected = [0; 4];
            for (priority, place) in [(41, 2), (43, 0), (42, 1), (40, 3)] {
                let role = Role::EAGER.with_priority(priority);
                expected[place] = context.spawn(role, &[endpoint.bits()], crew::call)?.number;
            }
            ensure!(serve_in_turn::<4>(context, endpoint)? == expected);
            Ok(())
        },
    ),
    success(
        CallNumber::Receive,
        "two servers of one endpoint share the callers",
        |context| {
            let endpoint = context.endpoint()?;
            let servers = [
                context.spawn(Role::EAGER, &[endpoint.bits()], crew::echo)?,
                context.spawn(Role::EAGER, &[endpoint.bits()], crew::echo)?,
            ];
            for word in 0..10 {
                ensure_equal!(endpoint.call(&words(&[word]))?.words[0], word + 1);
            }
            ensure_equal!(servers[0].count() + servers[1].count(), 10);
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadPriority,
        "of two ready threads the higher runs first",
        |context| {
            let notification = context.notification()?;
            let mut helpers = [None; 3];
            for (place, priority) in helpers.iter_mut().zip([12, 14, 13]) {
                let role = Role::EAGER.with_priority(priority);
                *place = Some(context.spawn(role, &[notification.bits()], |number| {
                    crew::note(number).end(Ok(0));
                })?);
            }
            for (helper, order) in helpers.iter().flatten().zip([3_u64, 1, 2]) {
                context.end_of(helper)??;
                ensure_equal!(helper.order(), order);
            }
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadPriority,
        "raising a ready thread lets it run at once",
        |context| {
            let helper = context.spawn(Role::EAGER.with_priority(LOW), &[], |number| {
                crew::note(number).end(Ok(1));
            })?;
            ensure!(helper.ended().is_none());
            helper.thread.set_priority(HIGH)?;
            ensure!(helper.ended() == Some(Ok(1)));
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadPriority,
        "raising a queued caller moves it ahead",
        |context| {
            let endpoint = context.endpoint()?;
            let first = context.caller(endpoint)?;
            let second = context.caller(endpoint)?;
            second.thread.set_priority(HIGH + 5)?;
            ensure!(serve_in_turn::<2>(context, endpoint)? == [second.number, first.number]);
            Ok(())
        },
    ),
    success(
        CallNumber::Yield,
        "a lower priority does not run",
        |context| {
            let helper = context.spawn(Role::EAGER.with_priority(LOW), &[], crew::spin)?;
            for _ in 0..100 {
                rt::capability::yield_now()?;
            }
            ensure_equal!(helper.count(), 0);
            Ok(())
        },
    ),
];
