//! Identify, Yield, and calls that there are not.

use super::prelude::*;
use abi::CallWord;
use core::sync::atomic::Ordering::SeqCst;

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Identify,
        "slot 0 tells version and core",
        |_| {
            let (version, core) = rt::capability::identify_kernel()?;
            ensure_equal!(version, abi::VERSION);
            ensure_equal!(core, 0);
            Ok(())
        },
    ),
    success(
        CallNumber::Identify,
        "kind, rights, badge and size are told",
        |context| {
            let notification = context.notification()?.capability();
            let rights = Rights::new().with_signal(true);
            let badged = context.mint(notification, rights, 0x55)?.identify()?;
            ensure_equal!(badged.kind, ObjectKind::Notification.number());
            ensure_equal!(badged.rights, rights.into_bits());
            ensure_equal!(badged.badge, 0x55);
            ensure_equal!(context.frame(14)?.capability().identify()?.size, 14);
            ensure_equal!(context.table(128)?.capability().identify()?.size, 128);
            ensure_equal!(context.untyped(13)?.bytes_left()?, 1 << 13);
            Ok(())
        },
    ),
    refusal(
        CallNumber::Identify,
        Error::NoCapability,
        "an empty slot",
        |context| {
            let slot = Capability::at(context.slot());
            context.refuses(Error::NoCapability, || slot.identify())
        },
    ),
    refusal(
        CallNumber::Identify,
        Error::NoCapability,
        "a slot behind the table's end",
        |context| {
            context.refuses(Error::NoCapability, || {
                Capability::own(0x7fff_ffff).identify()
            })
        },
    ),
    refusal(
        CallNumber::Identify,
        Error::NoCapability,
        "index 0 of another table",
        |context| {
            let table = context.table(64)?.capability().slot().index;
            let slot = Capability::at(SlotAddress::within(table, 0));
            context.refuses(Error::NoCapability, || slot.identify())
        },
    ),
    refusal(
        CallNumber::Identify,
        Error::UnknownCall,
        "numbers without a call",
        |context| {
            for number in
                (0..=255_u8).filter(|number| CallNumber::from_number((*number).into()).is_none())
            {
                let word = CallWord::new().with_number(number);
                context.refuses(Error::UnknownCall, || rt::sys::raw(word, [0; 8]).status())?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Identify,
        "a call leaves no register of the kernel behind",
        |_| {
            let results =
                rt::sys::raw(CallWord::new().with_number(CallNumber::Yield as u8), [7; 8]);
            ensure!(results.x.iter().all(|value| *value == 0));
            Ok(())
        },
    ),
    success(
        CallNumber::Yield,
        "threads of one priority take turns",
        |context| {
            let role = Role::EAGER.with_priority(PRIORITY);
            let helper = context.spawn(role, &[], |number| {
                for _ in 0..10 {
                    crew::note(number).value.fetch_add(1, SeqCst);
                    let _ = rt::capability::yield_now();
                }
                crew::note(number).end(Ok(10));
            })?;
            for _ in 0..100 {
                rt::capability::yield_now()?;
            }
            ensure!(helper.ended().is_some());
            Ok(())
        },
    ),
];
