//! Interrupts and firmware calls.

use super::derivation::is_empty;
use super::laws::INTERRUPT;
use super::prelude::*;
use crate::machine;
use abi::boot::{SLOT_FIRMWARE, SLOT_INTERRUPT_CONTROL};
use rt::{Firmware, Interrupt, InterruptControl};

/// The authority over interrupts.
const CONTROL: InterruptControl = InterruptControl::own(SLOT_INTERRUPT_CONTROL);
/// The authority over the firmware.
const FIRMWARE: Firmware = Firmware::own(SLOT_FIRMWARE);

/// Takes the interrupt that the suite plays with.
#[track_caller]
fn taken(context: &Context) -> Outcome<Interrupt> {
    Ok(CONTROL.take(INTERRUPT, context.slot())?)
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::InterruptTake,
        "taken, given back, taken again",
        |context| {
            let interrupt = taken(context)?;
            let kind = interrupt.capability().identify()?.kind;
            ensure_equal!(kind, ObjectKind::Interrupt.number());
            interrupt.capability().delete()?;
            is_empty(interrupt.capability())?;
            taken(context).map(drop)
        },
    ),
    refusal(
        CallNumber::InterruptTake,
        Error::OutOfRange,
        "numbers that the machine has not",
        |context| {
            let slot = context.slot();
            context.refuses(Error::OutOfRange, || CONTROL.take(1 << 20, slot))?;
            context.refuses(Error::OutOfRange, || CONTROL.take(u64::MAX, slot))
        },
    ),
    refusal(
        CallNumber::InterruptTake,
        Error::InterruptTaken,
        "it has an owner",
        |context| {
            taken(context)?;
            let slot = context.slot();
            context.refuses(Error::InterruptTaken, || CONTROL.take(INTERRUPT, slot))
        },
    ),
    refusal(
        CallNumber::InterruptTake,
        Error::SlotOccupied,
        "a place that is taken",
        |context| {
            let slot = context.endpoint()?.capability().slot();
            context.refuses(Error::SlotOccupied, || CONTROL.take(INTERRUPT, slot))?;
            taken(context).map(drop)
        },
    ),
    success(
        CallNumber::InterruptBind,
        "bound, bound anew, and not bound",
        |context| {
            let interrupt = taken(context)?;
            interrupt.bind(Some(context.notification()?))?;
            interrupt.bind(None)?;
            interrupt.bind(Some(context.notification()?))?;
            Ok(interrupt.bind(None)?)
        },
    ),
    refusal(
        CallNumber::InterruptBind,
        Error::MissingRight,
        "a notification without signal",
        |context| {
            let interrupt = taken(context)?;
            let less = all_but(Rights::new().with_signal(true));
            let notification = context.mint(context.notification()?.capability(), less, 0)?;
            context.refuses(Error::MissingRight, || {
                interrupt.bind(Some(Notification::at(notification.slot())))
            })
        },
    ),
    success(
        CallNumber::InterruptAcknowledge,
        "a bound interrupt is acknowledged",
        |context| {
            let interrupt = taken(context)?;
            interrupt.bind(Some(context.notification()?))?;
            interrupt.acknowledge()?;
            Ok(interrupt.acknowledge()?)
        },
    ),
    refusal(
        CallNumber::InterruptAcknowledge,
        Error::NotConfigured,
        "nothing is bound",
        |context| {
            let interrupt = taken(context)?;
            context.refuses(Error::NotConfigured, || interrupt.acknowledge())
        },
    ),
    success(
        CallNumber::Delete,
        "the notification that an interrupt is bound to",
        |context| {
            let (interrupt, notification) = (taken(context)?, context.notification()?);
            interrupt.bind(Some(notification))?;
            notification.capability().delete()?;
            context.refuses(Error::NotConfigured, || interrupt.acknowledge())
        },
    ),
    success(
        CallNumber::Delete,
        "an interrupt that is bound and acknowledged",
        |context| {
            let interrupt = taken(context)?;
            interrupt.bind(Some(context.notification()?))?;
            interrupt.acknowledge()?;
            interrupt.capability().delete()?;
            taken(context).map(drop)
        },
    ),
    success(CallNumber::FirmwareCall, "the console takes a byte", |_| {
        Ok(FIRMWARE.write_byte(b'.')?)
    }),
    refusal(
        CallNumber::FirmwareCall,
        Error::Unsupported,
        "a call that is not on the list",
        |context| {
            let call = machine::current().firmware_unknown;
            context.refuses(Error::Unsupported, || FIRMWARE.call(call))
        },
    ),
    refusal(
        CallNumber::FirmwareCall,
        Error::BadArgument,
        "an argument that is not let through",
        |context| {
            let call = machine::current().firmware_bad;
            let call = call.ok_or(Stop::Skipped(
                "every argument of the list's calls is let through",
            ))?;
            context.refuses(Error::BadArgument, || FIRMWARE.call(call))
        },
    ),
    refusal(
        CallNumber::FirmwareCall,
        Error::FirmwareRefused,
        "what the firmware refuses",
        |context| {
            let call = machine::current().firmware_refused;
            let call = call.ok_or(Stop::Skipped("the firmware refuses nothing on the list"))?;
            context.refuses(Error::FirmwareRefused, || FIRMWARE.call(call))
        },
    ),
];
