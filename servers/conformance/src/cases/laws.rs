//! The three refusals of nearly every call: no capability, the wrong object, a right too few.

use super::prelude::*;
use abi::boot::{SLOT_FIRMWARE, SLOT_INTERRUPT_CONTROL, SLOT_IO_PORTS};
use abi::exit::{ExitClass, RouteKey};
use rt::guest::Route;
use rt::memory::{CapTable, fund};
use rt::{Firmware, GuestSpace, Interrupt, InterruptControl, IoPorts, Vcpu};

/// An interrupt that no driver of the suite uses.
pub const INTERRUPT: u64 = 5;

/// Objects for the other arguments of the calls.
struct Others {
    untyped: Untyped,
    frame: Frame,
    endpoint: Capability,
    notification: Notification,
    budget: Capability,
    empty: SlotAddress,
}

/// Makes one call with its capability argument given.
type Issue = fn(&Others, Capability) -> Result<(), Error>;

/// Makes the other arguments.
#[track_caller]
fn others(context: &Context) -> Outcome<Others> {
    Ok(Others {
        untyped: context.untyped(12)?,
        frame: context.frame(12)?,
        endpoint: context.endpoint()?.capability(),
        notification: context.notification()?,
        budget: context.budget_on(0)?.capability(),
        empty: context.slot(),
    })
}

/// Makes an object of any kind.
#[track_caller]
fn object(context: &Context, kind: ObjectKind) -> Outcome<Capability> {
    match kind {
        ObjectKind::Interrupt => {
            let control = InterruptControl::own(SLOT_INTERRUPT_CONTROL);
            Ok(control.take(INTERRUPT, context.slot())?.capability())
        }
        ObjectKind::InterruptControl => Ok(Capability::own(SLOT_INTERRUPT_CONTROL)),
        ObjectKind::Firmware => Ok(Capability::own(SLOT_FIRMWARE)),
        ObjectKind::IoPorts => Ok(Capability::own(SLOT_IO_PORTS)),
        ObjectKind::Frame => context.make(kind, 13),
        ObjectKind::Untyped => context.make(kind, 12),
        ObjectKind::CapTable => context.make(kind, 64),
        _ => context.make(kind, 0),
    }
}

/// Calls with a slot that is empty, then with one that no table has.
#[track_caller]
fn no_capability(context: &Context, issue: Issue) -> Outcome {
    let others = others(context)?;
    let empty = Capability::at(context.slot());
    context.refuses(Error::NoCapability, || issue(&others, empty))?;
    context.refuses(Error::NoCapability, || {
        issue(&others, Capability::own(u32::MAX))
    })
}

/// Calls with an object of another kind.
#[track_caller]
fn wrong_object(context: &Context, kind: ObjectKind, issue: Issue) -> Outcome {
    let others = others(context)?;
    let wrong = match kind {
        ObjectKind::Notification => context.endpoint()?.capability(),
        _ => context.notification()?.capability(),
    };
    context.refuses(Error::WrongObject, || issue(&others, wrong))
}

/// Calls with every right but the one that is needed.
#[track_caller]
fn missing_right(context: &Context, kind: ObjectKind, right: Rights, issue: Issue) -> Outcome {
    let others = others(context)?;
    let whole = object(context, kind)?;
    let less = context.mint(whole, all_but(right), 0)?;
    context.refuses(Error::MissingRight, || issue(&others, less))
}

/// Returns the right to configure.
const fn control() -> Rights {
    Rights::new().with_control(true)
}

/// The refusals of a call's capability: call, kind, right, and how to make the call.
macro_rules! law {
    ($call:ident, $kind:ident, $right:expr, $issue:expr) => {
        [
            refusal(
                CallNumber::$call,
                Error::NoCapability,
                "an empty slot",
                |context| no_capability(context, $issue),
            ),
            refusal(
                CallNumber::$call,
                Error::WrongObject,
                "another kind of object",
                |context| wrong_object(context, ObjectKind::$kind, $issue),
            ),
            refusal(
                CallNumber::$call,
                Error::MissingRight,
                "one right too few",
                |context| missing_right(context, ObjectKind::$kind, $right, $issue),
            ),
        ]
    };
}

/// The refusals of a capability that needs no right, or cannot be copied with fewer.
macro_rules! short_law {
    ($call:ident, $kind:ident, $issue:expr) => {
        [
            refusal(
                CallNumber::$call,
                Error::NoCapability,
                "an empty slot",
                |context| no_capability(context, $issue),
            ),
            refusal(
                CallNumber::$call,
                Error::WrongObject,
                "another kind of object",
                |context| wrong_object(context, ObjectKind::$kind, $issue),
            ),
        ]
    };
}

/// Returns the thread in a slot.
const fn thread(capability: Capability) -> Thread {
    Thread::at(capability.slot())
}

/// Returns the vCPU in a slot.
const fn vcpu(capability: Capability) -> Vcpu {
    Vcpu::at(capability.slot())
}

/// A route that the suite's other routes do not touch.
const ROUTE: Route = Route {
    key: RouteKey::Device,
    base: 0x4000_0000,
    length: 0x1000,
};

/// All three refusals of each call.
pub const LAWS: &[[Case; 3]] = &[
    law!(Call, Endpoint, Rights::new().with_call(true), |_, it| {
        Endpoint::at(it.slot()).call(&Outgoing::new(0)).map(drop)
    }),
    law!(
        Receive,
        Endpoint,
        Rights::new().with_receive(true),
        |_, it| { Endpoint::at(it.slot()).receive(0).map(drop) }
    ),
    law!(
        Signal,
        Notification,
        Rights::new().with_signal(true),
        |_, it| { Notification::at(it.slot()).signal() }
    ),
    law!(
        Wait,
        Notification,
        Rights::new().with_wait(true),
        |_, it| { Notification::at(it.slot()).wait(0).map(drop) }
    ),
    law!(Split, Frame, control(), |others, it| {
        Frame::at(it.slot()).split(others.empty).map(drop)
    }),
    law!(Fund, Space, control(), |others, it| fund(
        it,
        others.untyped
    )),
    law!(Map, Space, control(), |others, it| others.frame.map(
        it,
        0x4000_0000,
        read_write()
    )),
    law!(ThreadBind, Thread, control(), |others, it| {
        thread(it).bind(Binding::Budget, Some(others.budget))
    }),
    law!(ThreadStart, Thread, control(), |_, it| thread(it)
        .start(0x1000, 0, 0)),
    law!(ThreadStop, Thread, control(), |_, it| thread(it).stop()),
    law!(ThreadResume, Thread, control(), |_, it| thread(it).resume()),
    law!(ThreadPriority, Thread, control(), |_, it| thread(it)
        .set_priority(1)),
    law!(ThreadRecovery, Thread, control(), |_, it| thread(it)
        .set_recovery(0, 8, 16)),
    law!(ThreadRead, Thread, control(), |_, it| thread(it)
        .read(0)
        .map(drop)),
    law!(ThreadWrite, Thread, control(), |_, it| thread(it)
        .write(0, 4)),
    law!(BudgetConfigure, Budget, control(), |_, it| {
        Budget::at(it.slot()).configure(1000, 1000)
    }),
    law!(InterruptTake, InterruptControl, control(), |others, it| {
        InterruptControl::at(it.slot())
            .take(INTERRUPT, others.empty)
            .map(drop)
    }),
    law!(InterruptBind, Interrupt, control(), |others, it| {
        Interrupt::at(it.slot()).bind(Some(others.notification))
    }),
    law!(InterruptAcknowledge, Interrupt, control(), |_, it| {
        Interrupt::at(it.slot()).acknowledge()
    }),
    law!(FirmwareCall, Firmware, control(), |_, it| Firmware::at(
        it.slot()
    )
    .write_byte(b' ')),
    law!(PortRead, IoPorts, Rights::new().with_read(true), |_, it| {
        IoPorts::at(it.slot()).read(0x80, 1).map(drop)
    }),
    law!(
        PortWrite,
        IoPorts,
        Rights::new().with_write(true),
        |_, it| { IoPorts::at(it.slot()).write(0x80, 1, 0) }
    ),
    law!(VcpuBind, Vcpu, control(), |others, it| {
        vcpu(it).bind(Binding::Budget, Some(others.budget))
    }),
    law!(VcpuExitRoute, Vcpu, control(), |others, it| {
        vcpu(it).route_exit(ExitClass::Other, Some(others.endpoint))
    }),
    law!(VcpuDeviceRoute, Vcpu, control(), |others, it| {
        vcpu(it).route_device(0, Some(others.endpoint))
    }),
    law!(VcpuRead, Vcpu, control(), |_, it| {
        vcpu(it)
            .read(crate::machine::current().guest.program_counter)
            .map(drop)
    }),
    law!(VcpuWrite, Vcpu, control(), |_, it| {
        vcpu(it).write(crate::machine::current().guest.program_counter, 4)
    }),
    law!(VcpuResume, Vcpu, control(), |_, it| vcpu(it).resume()),
    law!(VcpuStop, Vcpu, control(), |_, it| vcpu(it).stop()),
    law!(VcpuPriority, Vcpu, control(), |_, it| vcpu(it)
        .set_priority(1)),
    law!(Inject, Vcpu, Rights::new().with_inject(true), |_, it| {
        vcpu(it)
            .inject(crate::machine::current().guest.line, 0)
            .map(drop)
    }),
    law!(Fence, Vcpu, Rights::new().with_inject(true), |_, it| vcpu(
        it
    )
    .fence(1, 0)),
    law!(AddRoute, GuestSpace, control(), |_, it| GuestSpace::at(
        it.slot()
    )
    .add_route(3, ROUTE)),
];

/// The two refusals of the other calls.
pub const SHORT_LAWS: &[[Case; 2]] = &[
    short_law!(Unmap, Frame, |_, it| Frame::at(it.slot()).unmap()),
    short_law!(Protect, Frame, |_, it| Frame::at(it.slot()).protect(
        0,
        4096,
        read_write()
    )),
    short_law!(Retype, Untyped, |others, it| {
        let untyped = Untyped::at(it.slot());
        untyped
            .retype(ObjectKind::Endpoint, 0, 1, others.empty)
            .map(drop)
    }),
];

/// Returns a table that may not be changed.
#[track_caller]
pub fn sealed_table(context: &Context) -> Outcome<CapTable> {
    let table = context.table(64)?;
    let sealed = context.mint(table.capability(), all_but(control()), 0)?;
    Ok(CapTable::at(sealed.slot()))
}
