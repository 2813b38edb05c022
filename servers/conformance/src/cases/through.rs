//! Slots that are named through another table, and bindings below the deepest capability.

use super::derivation::deepest_copy;
use super::laws::INTERRUPT;
use super::prelude::*;

use abi::boot::SLOT_INTERRUPT_CONTROL;
use abi::call::Binding;
use abi::exit::ExitClass;
use rt::memory::fund;
use rt::synchronization::reply;
use rt::{InterruptControl, Vcpu};

/// Returns a slot that is named through something that is no table.
#[track_caller]
fn through_no_table(context: &Context) -> Outcome<SlotAddress> {
    let wrong = context.notification()?.capability().slot().index;
    Ok(SlotAddress::within(wrong, 3))
}

/// Returns a slot that is named through a table that may not be managed.
#[track_caller]
fn through_foreign_table(context: &Context) -> Outcome<SlotAddress> {
    let table = context.table(64)?.capability();
    let less = context.mint(table, all_but(Rights::new().with_control(true)), 0)?;
    Ok(SlotAddress::within(less.slot().index, 3))
}

/// Makes one call on the capability in a slot; the other slot is empty.
type Issue = fn(Capability, SlotAddress) -> Result<(), Error>;

/// Makes a call through something that is no table.
#[track_caller]
fn wrong_object(context: &Context, issue: Issue) -> Outcome {
    let slot = Capability::at(through_no_table(context)?);
    let empty = context.slot();
    context.refuses(Error::WrongObject, || issue(slot, empty))
}

/// Makes a call through a table that may not be managed.
#[track_caller]
fn missing_right(context: &Context, issue: Issue) -> Outcome {
    let slot = Capability::at(through_foreign_table(context)?);
    let empty = context.slot();
    context.refuses(Error::MissingRight, || issue(slot, empty))
}

/// A refusal of a call whose slot is named through the wrong table.
macro_rules! through {
    ($call:ident, WrongObject, $issue:expr) => {
        refusal(
            CallNumber::$call,
            Error::WrongObject,
            "a slot through something that is no table",
            |context| wrong_object(context, $issue),
        )
    };
    ($call:ident, MissingRight, $issue:expr) => {
        refusal(
            CallNumber::$call,
            Error::MissingRight,
            "a slot through a table that may not be managed",
            |context| missing_right(context, $issue),
        )
    };
}

/// A refusal of a binding below the deepest copy of a capability.
macro_rules! too_deep {
    ($call:ident, $check:expr) => {
        refusal(
            CallNumber::$call,
            Error::TreeTooDeep,
            "a copy of a copy of a copy",
            $check,
        )
    };
}

/// Returns the deepest copy of a new notification.
#[track_caller]
fn deep_notification(context: &Context) -> Outcome<rt::Notification> {
    let deepest = deepest_copy(context, context.notification()?.capability())?;
    Ok(rt::Notification::at(deepest.slot()))
}

/// Returns the deepest copy of a new endpoint.
#[track_caller]
fn deep_endpoint(context: &Context) -> Outcome<Capability> {
    deepest_copy(context, context.endpoint()?.capability())
}

/// Returns a new vCPU.
#[track_caller]
fn vcpu(context: &Context) -> Outcome<Vcpu> {
    Ok(Vcpu::at(context.make(ObjectKind::Vcpu, 0)?.slot()))
}

/// The cases.
pub const CASES: &[Case] = &[
    through!(Identify, WrongObject, |slot, _| slot.identify().map(drop)),
    through!(Identify, MissingRight, |slot, _| slot.identify().map(drop)),
    through!(Copy, WrongObject, |slot, empty| {
        slot.copy(empty).map(drop)
    }),
    through!(Mint, WrongObject, |slot, empty| {
        slot.mint(empty, Rights::ALL, 0).map(drop)
    }),
    through!(Move, WrongObject, |slot, empty| {
        slot.move_to(empty).map(drop)
    }),
    through!(Move, MissingRight, |slot, empty| {
        slot.move_to(empty).map(drop)
    }),
    through!(Delete, WrongObject, |slot, _| slot.delete()),
    through!(Delete, MissingRight, |slot, _| slot.delete()),
    through!(Revoke, WrongObject, |slot, _| slot.revoke()),
    through!(Revoke, MissingRight, |slot, _| slot.revoke()),
    through!(Unmap, MissingRight, |slot, _| {
        Frame::at(slot.slot()).unmap()
    }),
    refusal(
        CallNumber::Reply,
        Error::WrongObject,
        "a capability through something that is no table",
        |context| {
            let (_, caller) = pending(context)?;
            let slot = through_no_table(context)?;
            let message = Outgoing::new(0).with_capabilities(&[slot]);
            context.refuses(Error::WrongObject, || reply(&message))?;
            settle(context, &caller)
        },
    ),
    refusal(
        CallNumber::Move,
        Error::TreeTooDeep,
        "a table into itself",
        |context| {
            let table = context.table(64)?.capability();
            let inside = SlotAddress::within(table.slot().index, 3);
            context.refuses(Error::TreeTooDeep, || table.move_to(inside))
        },
    ),
    refusal(
        CallNumber::Fund,
        Error::OutOfMemory,
        "too little for a root table",
        |context| {
            let space = context.make(ObjectKind::GuestSpace, 0)?;
            if crate::machine::current().guest.root_pages == 1 {
                return Err(Stop::Skipped("the smallest memory holds a root table"));
            }
            let page = context.untyped(12)?;
            context.refuses(Error::OutOfMemory, || fund(space, page))
        },
    ),
    too_deep!(ThreadBind, |context| {
        let thread = context.thread_on(0)?;
        let deepest = deep_endpoint(context)?;
        context.refuses(Error::TreeTooDeep, || {
            thread.bind(Binding::FaultHandler, Some(deepest))
        })
    }),
    too_deep!(InterruptTake, |context| {
        let control = Capability::own(SLOT_INTERRUPT_CONTROL);
        let deepest = deepest_copy(context, control)?;
        let slot = context.slot();
        context.refuses(Error::TreeTooDeep, || {
            InterruptControl::at(deepest.slot()).take(INTERRUPT, slot)
        })
    }),
    too_deep!(InterruptBind, |context| {
        let control = InterruptControl::own(SLOT_INTERRUPT_CONTROL);
        let interrupt = control.take(INTERRUPT, context.slot())?;
        let deepest = deep_notification(context)?;
        context.refuses(Error::TreeTooDeep, || interrupt.bind(Some(deepest)))
    }),
    refusal(
        CallNumber::InterruptBind,
        Error::WrongState,
        "a second notification",
        |context| {
            let control = InterruptControl::own(SLOT_INTERRUPT_CONTROL);
            let interrupt = control.take(INTERRUPT, context.slot())?;
            interrupt.bind(Some(context.notification()?))?;
            let second = context.notification()?;
            context.refuses(Error::WrongState, || interrupt.bind(Some(second)))
        },
    ),
    too_deep!(VcpuBind, |context| {
        let vcpu = vcpu(context)?;
        let deepest = deepest_copy(context, context.frame(12)?.capability())?;
        context.refuses(Error::TreeTooDeep, || {
            vcpu.bind(Binding::MessagePage, Some(deepest))
        })
    }),
    too_deep!(VcpuExitRoute, |context| {
        let vcpu = vcpu(context)?;
        let deepest = deep_endpoint(context)?;
        context.refuses(Error::TreeTooDeep, || {
            vcpu.route_exit(ExitClass::Other, Some(deepest))
        })
    }),
    too_deep!(VcpuDeviceRoute, |context| {
        let vcpu = vcpu(context)?;
        let deepest = deep_endpoint(context)?;
        context.refuses(Error::TreeTooDeep, || vcpu.route_device(1, Some(deepest)))
    }),
    refusal(
        CallNumber::VcpuExitRoute,
        Error::WrongState,
        "a second endpoint",
        |context| {
            let vcpu = vcpu(context)?;
            let first = context.endpoint()?.capability();
            vcpu.route_exit(ExitClass::Other, Some(first))?;
            let second = context.endpoint()?.capability();
            context.refuses(Error::WrongState, || {
                vcpu.route_exit(ExitClass::Other, Some(second))
            })
        },
    ),
    refusal(
        CallNumber::VcpuDeviceRoute,
        Error::WrongState,
        "a second endpoint",
        |context| {
            let vcpu = vcpu(context)?;
            let first = context.endpoint()?.capability();
            vcpu.route_device(1, Some(first))?;
            let second = context.endpoint()?.capability();
            context.refuses(Error::WrongState, || vcpu.route_device(1, Some(second)))
        },
    ),
];
