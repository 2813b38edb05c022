//! Retype: objects out of untyped memory, and the memory's return.

use super::laws::sealed_table;
use super::prelude::*;

/// Every kind that can be made, with a size for one object.
const KINDS: [(ObjectKind, u64); 9] = [
    (ObjectKind::Untyped, 12),
    (ObjectKind::CapTable, 64),
    (ObjectKind::Frame, 12),
    (ObjectKind::Space, 0),
    (ObjectKind::Thread, 0),
    (ObjectKind::Budget, 0),
    (ObjectKind::Endpoint, 0),
    (ObjectKind::Reply, 0),
    (ObjectKind::Notification, 0),
];

/// Fails unless this retype of the case's memory is refused.
#[track_caller]
fn refused(context: &Context, error: Error, kind: ObjectKind, size: u64, count: u64) -> Outcome {
    let slot = context.slot();
    context.refuses(error, || context.memory().retype(kind, size, count, slot))
}

/// Makes untyped memory out of untyped memory, each of the whole of the last, until it is refused.
#[track_caller]
fn nest_until_refused(context: &Context) -> Outcome {
    let mut inner = context.untyped(14)?;
    for _ in 0..1024 {
        let slot = context.slot();
        let before = context.digest();
        match inner.retype(ObjectKind::Untyped, 14, 1, slot) {
            Ok(next) => inner = Untyped::at(next.slot()),
            Err(error) => {
                ensure_equal!(context.digest(), before);
                return expect_error(Err::<(), _>(error), Error::TreeTooDeep);
            }
        }
    }
    Err(Stop::failed("the tree has a greatest depth below 1024"))
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Retype,
        "every kind of object can be made",
        |context| {
            for (kind, size) in KINDS {
                let made = context.make(kind, size)?.identify()?;
                ensure_equal!(made.kind, kind.number());
                ensure_equal!(made.badge, 0);
            }
            Ok(())
        },
    ),
    success(CallNumber::Retype, "guest objects can be made", |context| {
        context.make(ObjectKind::GuestSpace, 0)?;
        context.make(ObjectKind::Vcpu, 0).map(drop)
    }),
    success(
        CallNumber::Retype,
        "many objects at once fill slots in a row",
        |context| {
            let first = context.slots(256);
            context
                .memory()
                .retype(ObjectKind::Notification, 0, 256, first)?;
            for index in 0..256 {
                let made = Capability::own(first.index + index).identify()?;
                ensure_equal!(made.kind, ObjectKind::Notification.number());
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Retype,
        "objects can be made into another table",
        |context| {
            let table = context.table(64)?.capability().slot().index;
            let place = SlotAddress::within(table, 63);
            context.memory().retype(ObjectKind::Endpoint, 0, 1, place)?;
            ensure_equal!(
                Capability::at(place).identify()?.kind,
                ObjectKind::Endpoint.number()
            );
            Ok(())
        },
    ),
    success(
        CallNumber::Retype,
        "frames lie in the memory and do not overlap",
        |context| {
            let memory = context.untyped(14)?;
            let first = context.slots(4);
            memory.retype(ObjectKind::Frame, 12, 4, first)?;
            let base = Capability::own(first.index).identify()?.base;
            for index in 1..4 {
                let next = Capability::own(first.index + index).identify()?.base;
                ensure_equal!(next, base + u64::from(index) * 4096);
            }
            let slot = context.slot();
            context.refuses(Error::OutOfMemory, || {
                memory.retype(ObjectKind::Frame, 12, 1, slot)
            })
        },
    ),
    success(
        CallNumber::Retype,
        "memory is free again when its last object is deleted",
        |context| {
            let memory = context.untyped(16)?;
            let slot = context.slot();
            for round in 0..64 {
                memory.retype(ObjectKind::Untyped, 16, 1, slot)?;
                ensure_equal!(memory.bytes_left()?, 0);
                Capability::at(slot).delete()?;
                ensure_equal!((memory.bytes_left()?, round).0, 1 << 16);
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Retype,
        "the same memory becomes any kind after a revoke",
        |context| {
            let memory = context.untyped(18)?;
            let slot = context.slot();
            for (kind, size) in KINDS {
                memory.retype(kind, size, 1, slot)?;
                ensure_equal!(Capability::at(slot).identify()?.kind, kind.number());
                memory.capability().revoke()?;
                ensure_equal!(memory.bytes_left()?, 1 << 18);
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::MissingRight,
        "a table without control",
        |context| {
            let table = sealed_table(context)?.capability().slot().index;
            let place = SlotAddress::within(table, 1);
            context.refuses(Error::MissingRight, || {
                context.memory().retype(ObjectKind::Endpoint, 0, 1, place)
            })
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::BadArgument,
        "kinds that cannot be made",
        |context| {
            refused(context, Error::BadArgument, ObjectKind::Interrupt, 0, 1)?;
            refused(context, Error::BadArgument, ObjectKind::Firmware, 0, 1)?;
            let slot = context.slot().into_bits();
            let memory = context.memory().bits();
            context.refuses(Error::BadArgument, || {
                rt::sys::call(CallNumber::Retype, [memory, 99, 0, 1, slot])
            })
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::BadArgument,
        "no objects, or more than 256",
        |context| {
            refused(context, Error::BadArgument, ObjectKind::Endpoint, 0, 0)?;
            refused(context, Error::BadArgument, ObjectKind::Endpoint, 0, 257)?;
            refused(
                context,
                Error::BadArgument,
                ObjectKind::Endpoint,
                0,
                u64::MAX,
            )
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::BadArgument,
        "sizes that there are not",
        |context| {
            refused(context, Error::BadArgument, ObjectKind::Frame, 11, 1)?;
            refused(context, Error::BadArgument, ObjectKind::Frame, u64::MAX, 1)?;
            refused(context, Error::BadArgument, ObjectKind::CapTable, 63, 1)?;
            refused(context, Error::BadArgument, ObjectKind::CapTable, 32, 1)?;
            refused(
                context,
                Error::BadArgument,
                ObjectKind::CapTable,
                1 << 17,
                1,
            )
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::OutOfRange,
        "a core that there is not",
        |context| {
            refused(
                context,
                Error::OutOfRange,
                ObjectKind::Thread,
                context.info.cores,
                1,
            )?;
            refused(
                context,
                Error::OutOfRange,
                ObjectKind::Endpoint,
                u64::MAX,
                1,
            )
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::OutOfRange,
        "slots behind the table's end",
        |context| {
            let table = context.table(64)?.capability().slot().index;
            let place = SlotAddress::within(table, 62);
            context.refuses(Error::OutOfRange, || {
                context.memory().retype(ObjectKind::Endpoint, 0, 3, place)
            })
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::SlotOccupied,
        "one of the places is taken",
        |context| {
            let first = context.slots(4);
            let last = SlotAddress::own(first.index + 3);
            context.memory().retype(ObjectKind::Endpoint, 0, 1, last)?;
            context.refuses(Error::SlotOccupied, || {
                context.memory().retype(ObjectKind::Endpoint, 0, 4, first)
            })
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::OutOfMemory,
        "more than is left",
        |context| {
            refused(context, Error::OutOfMemory, ObjectKind::Frame, 26, 1)?;
            refused(context, Error::OutOfMemory, ObjectKind::Frame, 20, 256)
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::OutOfMemory,
        "small objects until nothing is left",
        |context| {
            let memory = context.untyped(12)?;
            let table = context.table(4096)?.capability().slot().index;
            for index in 1..4096 {
                let place = SlotAddress::within(table, index);
                match memory.retype(ObjectKind::Notification, 0, 1, place) {
                    Ok(_) => {}
                    Err(Error::OutOfMemory) => {
                        return context.refuses(Error::OutOfMemory, || {
                            memory.retype(ObjectKind::Notification, 0, 1, place)
                        });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(Stop::failed("a page holds fewer than 4095 notifications"))
        },
    ),
    refusal(
        CallNumber::Retype,
        Error::TreeTooDeep,
        "memory inside memory",
        nest_until_refused,
    ),
    refusal(
        CallNumber::Retype,
        Error::Unsupported,
        "guests on a machine without",
        |context| {
            let slot = context.slot();
            match context.memory().retype(ObjectKind::Vcpu, 0, 1, slot) {
                Ok(_) => Err(Stop::Skipped("this machine has guests")),
                Err(error) => expect_error(Err::<(), _>(error), Error::Unsupported),
            }
        },
    ),
];
