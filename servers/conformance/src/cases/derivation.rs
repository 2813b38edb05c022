//! Copy, mint, move, delete, revoke and split.

use super::laws::sealed_table;
use super::prelude::*;

/// Returns an endpoint capability that may not be copied.
#[track_caller]
fn ungranted(context: &Context) -> Outcome<Capability> {
    let endpoint = context.endpoint()?.capability();
    context.mint(endpoint, all_but(Rights::new().with_grant(true)), 0)
}

/// Returns a chain of copies of `source` as deep as the tree allows.
#[track_caller]
pub fn deepest_copy(context: &Context, source: Capability) -> Outcome<Capability> {
    let mut deepest = source;
    for _ in 0..1024 {
        let slot = context.slot();
        match deepest.copy(slot) {
            Ok(copy) => deepest = copy,
            Err(error) => {
                expect_error(Err::<(), _>(error), Error::TreeTooDeep)?;
                return Ok(deepest);
            }
        }
    }
    Err(Stop::failed("the tree has a greatest depth below 1024"))
}

/// Fails unless nothing is in the slot.
#[track_caller]
pub fn is_empty(capability: Capability) -> Outcome {
    expect_error(capability.identify(), Error::NoCapability)
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Copy,
        "a copy is the same capability",
        |context| {
            let endpoint = context.endpoint()?.capability();
            let copy = context.copy(endpoint)?;
            ensure!(copy.identify()? == endpoint.identify()?);
            Ok(())
        },
    ),
    success(CallNumber::Copy, "between tables, both ways", |context| {
        let table = context.table(64)?.capability().slot().index;
        let inside = Capability::at(SlotAddress::within(table, 5));
        let endpoint = context.endpoint()?.capability();
        endpoint.copy(inside.slot())?;
        ensure!(context.copy(inside)?.identify()? == endpoint.identify()?);
        Ok(())
    }),
    refusal(
        CallNumber::Copy,
        Error::NoCapability,
        "an empty source",
        |context| {
            let (from, to) = (Capability::at(context.slot()), context.slot());
            context.refuses(Error::NoCapability, || from.copy(to))
        },
    ),
    refusal(
        CallNumber::Copy,
        Error::MissingRight,
        "a source without grant",
        |context| {
            let (from, to) = (ungranted(context)?, context.slot());
            context.refuses(Error::MissingRight, || from.copy(to))
        },
    ),
    refusal(
        CallNumber::Copy,
        Error::MissingRight,
        "a table without control",
        |context| {
            let table = sealed_table(context)?.capability().slot().index;
            let endpoint = context.endpoint()?.capability();
            context.refuses(Error::MissingRight, || {
                endpoint.copy(SlotAddress::within(table, 1))
            })
        },
    ),
    refusal(
        CallNumber::Copy,
        Error::NotCopyable,
        "untyped memory and replies",
        |context| {
            let (untyped, reply) = (context.untyped(12)?, context.reply()?);
            let to = context.slot();
            context.refuses(Error::NotCopyable, || untyped.capability().copy(to))?;
            context.refuses(Error::NotCopyable, || reply.capability().copy(to))
        },
    ),
    refusal(
        CallNumber::Copy,
        Error::SlotOccupied,
        "a place that is taken",
        |context| {
            let (from, taken) = (
                context.endpoint()?.capability(),
                context.endpoint()?.capability(),
            );
            context.refuses(Error::SlotOccupied, || from.copy(taken.slot()))?;
            context.refuses(Error::SlotOccupied, || from.copy(from.slot()))
        },
    ),
    refusal(
        CallNumber::Copy,
        Error::TreeTooDeep,
        "a copy of a copy of a copy",
        |context| {
            let deepest = deepest_copy(context, context.endpoint()?.capability())?;
            let slot = context.slot();
            context.refuses(Error::TreeTooDeep, || deepest.copy(slot))
        },
    ),
    success(
        CallNumber::Mint,
        "rights shrink and never grow",
        |context| {
            let endpoint = context.endpoint()?.capability();
            let (call, grant) = (
                Rights::new().with_call(true),
                Rights::new().with_grant(true),
            );
            let both = Rights::from_bits(call.into_bits() | grant.into_bits());
            let less = context.mint(endpoint, both, 0)?;
            ensure_equal!(less.identify()?.rights, both.into_bits());
            ensure_equal!(
                context.mint(less, Rights::ALL, 0)?.identify()?.rights,
                both.into_bits()
            );
            ensure_equal!(
                context.mint(less, call, 0)?.identify()?.rights,
                call.into_bits()
            );
            Ok(())
        },
    ),
    success(
        CallNumber::Mint,
        "a badge is kept by every copy",
        |context| {
            let endpoint = context.endpoint()?.capability();
            let badged = context.mint(endpoint, Rights::ALL, u64::MAX)?;
            ensure_equal!(context.copy(badged)?.identify()?.badge, u64::MAX);
            ensure_equal!(
                context.mint(badged, Rights::ALL, 0)?.identify()?.badge,
                u64::MAX
            );
            Ok(())
        },
    ),
    refusal(
        CallNumber::Mint,
        Error::NoCapability,
        "an empty source",
        |context| {
            let (from, to) = (Capability::at(context.slot()), context.slot());
            context.refuses(Error::NoCapability, || from.mint(to, Rights::ALL, 0))
        },
    ),
    refusal(
        CallNumber::Mint,
        Error::MissingRight,
        "a source without grant",
        |context| {
            let (from, to) = (ungranted(context)?, context.slot());
            context.refuses(Error::MissingRight, || from.mint(to, Rights::ALL, 0))
        },
    ),
    refusal(
        CallNumber::Mint,
        Error::NotCopyable,
        "untyped memory and replies",
        |context| {
            let (untyped, reply) = (context.untyped(12)?, context.reply()?);
            let to = context.slot();
            context.refuses(Error::NotCopyable, || {
                untyped.capability().mint(to, Rights::ALL, 0)
            })?;
            context.refuses(Error::NotCopyable, || {
                reply.capability().mint(to, Rights::ALL, 0)
            })
        },
    ),
    refusal(
        CallNumber::Mint,
        Error::SlotOccupied,
        "a place that is taken",
        |context| {
            let (from, taken) = (
                context.endpoint()?.capability(),
                context.endpoint()?.capability(),
            );
            context.refuses(Error::SlotOccupied, || {
                from.mint(taken.slot(), Rights::ALL, 1)
            })
        },
    ),
    refusal(
        CallNumber::Mint,
        Error::TreeTooDeep,
        "a copy of a copy of a copy",
        |context| {
            let deepest = deepest_copy(context, context.endpoint()?.capability())?;
            let slot = context.slot();
            context.refuses(Error::TreeTooDeep, || deepest.mint(slot, Rights::ALL, 1))
        },
    ),
    refusal(
        CallNumber::Mint,
        Error::BadArgument,
        "a second badge",
        |context| {
            let badged = context.mint(context.endpoint()?.capability(), Rights::ALL, 3)?;
            let slot = context.slot();
            context.refuses(Error::BadArgument, || badged.mint(slot, Rights::ALL, 4))
        },
    ),
    success(
        CallNumber::Move,
        "the capability and its children move",
        |context| {
            let endpoint = context.mint(context.endpoint()?.capability(), Rights::ALL, 9)?;
            let child = context.copy(endpoint)?;
            let before = endpoint.identify()?;
            let moved = endpoint.move_to(context.slot())?;
            is_empty(endpoint)?;
            ensure!(moved.identify()? == before);
            moved.delete()?;
            is_empty(child)
        },
    ),
    success(
        CallNumber::Move,
        "untyped memory moves with what was made of it",
        |context| {
            let untyped = context.untyped(14)?;
            let slot = context.slot();
            untyped.retype(ObjectKind::Endpoint, 0, 1, slot)?;
            let moved = untyped.capability().move_to(context.slot())?;
            moved.revoke()?;
            is_empty(Capability::at(slot))?;
            ensure_equal!(moved.identify()?.size, 1 << 14);
            Ok(())
        },
    ),
    refusal(
        CallNumber::Move,
        Error::NoCapability,
        "an empty source",
        |context| {
            let (from, to) = (Capability::at(context.slot()), context.slot());
            context.refuses(Error::NoCapability, || from.move_to(to))
        },
    ),
    refusal(
        CallNumber::Move,
        Error::SlotOccupied,
        "a place that is taken",
        |context| {
            let (from, taken) = (
                context.endpoint()?.capability(),
                context.endpoint()?.capability(),
            );
            context.refuses(Error::SlotOccupied, || from.move_to(taken.slot()))
        },
    ),
    success(
        CallNumber::Delete,
        "a copy's end leaves the object alone",
        |context| {
            let notification = context.notification()?;
            let copy = context.copy(notification.capability())?;
            copy.delete()?;
            is_empty(copy)?;
            Ok(notification.signal()?)
        },
    ),
    success(
        CallNumber::Delete,
        "everything derived goes too",
        |context| {
            let endpoint = context.endpoint()?.capability();
            let child = context.copy(endpoint)?;
            let grandchild = context.mint(child, Rights::ALL, 1)?;
            let sibling = context.copy(endpoint)?;
            child.delete()?;
            is_empty(child)?;
            is_empty(grandchild)?;
            sibling.identify()?;
            endpoint.delete()?;
            is_empty(sibling)
        },
    ),
    refusal(
        CallNumber::Delete,
        Error::NoCapability,
        "an empty slot",
        |context| {
            let empty = Capability::at(context.slot());
            context.refuses(Error::NoCapability, || empty.delete())
        },
    ),
    success(
        CallNumber::Revoke,
        "what was derived goes, the capability stays",
        |context| {
            let endpoint = context.endpoint()?.capability();
            let child = context.copy(endpoint)?;
            let grandchild = context.copy(child)?;
            endpoint.revoke()?;
            is_empty(child)?;
            is_empty(grandchild)?;
            endpoint.identify()?;
            Ok(endpoint.revoke()?)
        },
    ),
    success(
        CallNumber::Revoke,
        "copies in other tables go too",
        |context| {
            let endpoint = context.endpoint()?.capability();
            let table = context.table(64)?.capability().slot().index;
            let inside = endpoint.copy(SlotAddress::within(table, 7))?;
            endpoint.revoke()?;
            is_empty(inside)
        },
    ),
    success(CallNumber::Revoke, "a wide and deep tree goes", |context| {
        let endpoint = context.endpoint()?.capability();
        let first = context.end_of_slots();
        for _ in 0..20 {
            let mut node = endpoint;
            for _ in 0..10 {
                node = context.copy(node)?;
            }
        }
        endpoint.revoke()?;
        for slot in first..context.end_of_slots() {
            is_empty(Capability::own(slot))?;
        }
        Ok(())
    }),
    refusal(
        CallNumber::Revoke,
        Error::NoCapability,
        "an empty slot",
        |context| {
            let empty = Capability::at(context.slot());
            context.refuses(Error::NoCapability, || empty.revoke())
        },
    ),
    success(CallNumber::Split, "two halves of the frame", |context| {
        let frame = context.frame(13)?;
        let base = frame.capability().identify()?.base;
        let upper = frame.split(context.slot())?;
        ensure_equal!(frame.capability().identify()?.size, 12);
        ensure_equal!(frame.capability().identify()?.base, base);
        ensure_equal!(upper.capability().identify()?.size, 12);
        ensure_equal!(upper.capability().identify()?.base, base + 4096);
        context.window(frame)?.store(0, 1);
        context.window(upper)?.store(0, 2);
        Ok(())
    }),
    refusal(
        CallNumber::Split,
        Error::BadArgument,
        "a single page",
        |context| {
            let (frame, slot) = (context.frame(12)?, context.slot());
            context.refuses(Error::BadArgument, || frame.split(slot))
        },
    ),
    refusal(
        CallNumber::Split,
        Error::AlreadyMapped,
        "a mapped frame",
        |context| {
            let (frame, slot) = (context.frame(13)?, context.slot());
            context.window(frame)?;
            context.refuses(Error::AlreadyMapped, || frame.split(slot))
        },
    ),
    refusal(
        CallNumber::Split,
        Error::HasChildren,
        "a frame with a copy",
        |context| {
            let (frame, slot) = (context.frame(13)?, context.slot());
            context.copy(frame.capability())?;
            context.refuses(Error::HasChildren, || frame.split(slot))
        },
    ),
    refusal(
        CallNumber::Split,
        Error::SlotOccupied,
        "a place that is taken",
        |context| {
            let (frame, taken) = (context.frame(13)?, context.endpoint()?.capability().slot());
            context.refuses(Error::SlotOccupied, || frame.split(taken))
        },
    ),
];
