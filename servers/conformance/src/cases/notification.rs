//! Signal and wait.

use super::prelude::*;

/// Returns a copy of the notification whose signals set these bits.
#[track_caller]
fn badged(context: &Context, notification: Notification, bits: u64) -> Outcome<Notification> {
    let copy = context.mint(notification.capability(), Rights::ALL, bits)?;
    Ok(Notification::at(copy.slot()))
}

/// The cases.
pub const CASES: &[Case] = &[
    success(CallNumber::Signal, "without a badge, bit 0", |context| {
        let notification = context.notification()?;
        notification.signal()?;
        ensure_equal!(notification.wait(0)?, 1);
        Ok(())
    }),
    success(
        CallNumber::Signal,
        "bits of several badges come together",
        |context| {
            let notification = context.notification()?;
            for bits in [0x10, 0x8000_0000_0000_0000, 0x12, 0x10] {
                badged(context, notification, bits)?.signal()?;
            }
            ensure_equal!(notification.wait(0)?, 0x8000_0000_0000_0012);
            Ok(())
        },
    ),
    success(
        CallNumber::Signal,
        "a waiter of higher priority runs at once",
        |context| {
            let notification = context.notification()?;
            let waiter = context.spawn(Role::EAGER, &[notification.bits()], crew::wait)?;
            ensure!(waiter.ended().is_none());
            badged(context, notification, 0x30)?.signal()?;
            ensure!(waiter.ended() == Some(Ok(0x30)));
            expect_error(notification.wait(0), Error::TimedOut)
        },
    ),
    success(
        CallNumber::Wait,
        "bits that are there are returned and cleared",
        |context| {
            let notification = context.notification()?;
            notification.signal()?;
            ensure_equal!(notification.wait(FOREVER)?, 1);
            expect_error(notification.wait(0), Error::TimedOut)
        },
    ),
    success(
        CallNumber::Wait,
        "a thread of lower priority signals",
        |context| {
            let notification = context.notification()?;
            let role = Role::EAGER.with_priority(LOW);
            let helper = context.spawn(role, &[notification.bits()], crew::signal_and_spin)?;
            ensure!(helper.count() == 0);
            ensure_equal!(notification.wait(context.soon())?, 1);
            Ok(())
        },
    ),
    refusal(
        CallNumber::Wait,
        Error::WrongCore,
        "a notification of another core",
        |context| {
            let notification = context.notification_on(context.other_core()?)?;
            context.refuses(Error::WrongCore, || notification.wait(0))
        },
    ),
    refusal(
        CallNumber::Wait,
        Error::WrongState,
        "another thread waits already",
        |context| {
            let notification = context.notification()?;
            let waiter = context.spawn(Role::EAGER, &[notification.bits()], crew::wait)?;
            context.refuses(Error::WrongState, || notification.wait(0))?;
            notification.signal()?;
            ensure!(context.end_of(&waiter)? == Ok(1));
            Ok(())
        },
    ),
    refusal(
        CallNumber::Wait,
        Error::WrongState,
        "it is bound to a thread",
        |context| {
            let (notification, thread) = (context.notification()?, context.thread_on(0)?);
            thread.bind(Binding::Notification, Some(notification.capability()))?;
            context.refuses(Error::WrongState, || notification.wait(0))
        },
    ),
    refusal(
        CallNumber::Wait,
        Error::TimedOut,
        "a deadline that has passed",
        |context| {
            let notification = context.notification()?;
            context.refuses(Error::TimedOut, || notification.wait(0))
        },
    ),
    refusal(
        CallNumber::Wait,
        Error::TimedOut,
        "a deadline that comes, and not early",
        |context| {
            let notification = context.notification()?;
            for microseconds in [1, 10, 100, 1000, 20_000] {
                let deadline = context.after(microseconds);
                context.refuses(Error::TimedOut, || notification.wait(deadline))?;
                ensure!(rt::sys::counter() >= deadline);
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::Wait,
        Error::TimedOut,
        "deadlines of several threads, each in its turn",
        |context| {
            let mut waiters = [None; 5];
            // Far enough away that all wait before the first comes, on an emulator whose time is
            // that of a busy host too.
            let begin = context.after(100_000);
            for (index, delay) in [5_u64, 1, 4, 2, 3].into_iter().enumerate() {
                let notification = context.notification()?;
                let deadline = begin + context.microseconds(delay * 1_000);
                let input = [notification.bits(), 0, deadline];
                waiters[index] = Some(context.spawn(Role::EAGER, &input, |number| {
                    let note = crew::note(number);
                    let deadline = note.input[2].load(core::sync::atomic::Ordering::SeqCst);
                    note.end(Notification::at(note.slot(0)).wait(deadline));
                })?);
            }
            for (waiter, order) in waiters.iter().flatten().zip([5_u64, 1, 4, 2, 3]) {
                expect_error(context.end_of(waiter)?, Error::TimedOut)?;
                ensure_equal!(waiter.order(), order);
            }
            Ok(())
        },
    ),
];
