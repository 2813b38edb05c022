//! Fund, map, unmap and protect.

use super::prelude::*;
use crate::machine;
use abi::boot::{DEVICE, SLOT_FIRST_UNTYPED};
use rt::memory::fund;

/// An address that no case uses for anything else.
const ADDRESS: u64 = 0x4000_0000;

/// Maps 2 MiB with no more table memory than that takes, and returns the frame.
#[track_caller]
fn barely_mapped(context: &Context) -> Outcome<Frame> {
    let (space, frame) = (context.bare_space()?, context.frame(21)?);
    for _ in 0..8 {
        match frame.map(space.capability(), ADDRESS, read_write()) {
            Ok(()) => return Ok(frame),
            Err(Error::NeedsMemory) => fund(space.capability(), context.untyped(12)?)?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Stop::failed(
        "a large mapping needs fewer than eight tables",
    ))
}

/// Returns the slot of a device memory range.
fn device_memory(context: &Context) -> Outcome<Untyped> {
    let count = usize::try_from(context.info.untyped_count).unwrap_or(0);
    let mut ranges = context
        .info
        .untyped
        .iter()
        .take(count)
        .zip(SLOT_FIRST_UNTYPED..);
    let device = ranges.find(|(range, _)| range.kind == DEVICE);
    device
        .map(|(_, slot)| Untyped::own(slot))
        .ok_or(Stop::Skipped("no device memory"))
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Fund,
        "a funded space takes mappings",
        |context| {
            let (space, frame) = (context.bare_space()?, context.frame(12)?);
            expect_error(
                frame.map(space.capability(), ADDRESS, read_write()),
                Error::NeedsMemory,
            )?;
            fund(space.capability(), context.untyped(16)?)?;
            Ok(frame.map(space.capability(), ADDRESS, read_write())?)
        },
    ),
    success(
        CallNumber::Fund,
        "all of the memory is taken, and comes back",
        |context| {
            let (space, untyped) = (context.bare_space()?, context.untyped(14)?);
            fund(space.capability(), untyped)?;
            let slot = context.slot();
            context.refuses(Error::OutOfMemory, || {
                untyped.retype(ObjectKind::Frame, 12, 1, slot)
            })?;
            untyped.capability().revoke()?;
            Ok(untyped.retype(ObjectKind::Frame, 14, 1, slot).map(drop)?)
        },
    ),
    refusal(
        CallNumber::Fund,
        Error::HasChildren,
        "memory that is partly used",
        |context| {
            let (space, untyped) = (context.bare_space()?, context.untyped(14)?);
            untyped.retype(ObjectKind::Frame, 12, 1, context.slot())?;
            context.refuses(Error::HasChildren, || fund(space.capability(), untyped))
        },
    ),
    refusal(
        CallNumber::Fund,
        Error::TableFull,
        "a ninth fund",
        |context| {
            let space = context.bare_space()?;
            for _ in 0..8 {
                fund(space.capability(), context.untyped(12)?)?;
            }
            let untyped = context.untyped(12)?;
            context.refuses(Error::TableFull, || fund(space.capability(), untyped))
        },
    ),
    refusal(
        CallNumber::Fund,
        Error::BadArgument,
        "device memory",
        |context| {
            let (space, device) = (context.bare_space()?, device_memory(context)?);
            context.refuses(Error::BadArgument, || fund(space.capability(), device))
        },
    ),
    success(
        CallNumber::Map,
        "two mappings of one frame show the same words",
        |context| {
            let frame = context.frame(12)?;
            let copy = Frame::at(context.copy(frame.capability())?.slot());
            let (one, other) = (context.window(frame)?, context.window(copy)?);
            one.clear();
            one.store(511, 0x1234_5678_9abc_def0);
            ensure_equal!(other.load(511), 0x1234_5678_9abc_def0_u64);
            Ok(())
        },
    ),
    success(CallNumber::Map, "2 MiB at once", |context| {
        let window = context.window(context.frame(21)?)?;
        for index in (0..window.words()).step_by(512) {
            window.store(index, index as u64);
        }
        for index in (0..window.words()).step_by(512) {
            ensure_equal!(window.load(index), index);
        }
        Ok(())
    }),
    success(
        CallNumber::Map,
        "every order from 4 KiB to 4 MiB",
        |context| {
            for order in 12..=22 {
                let window = context.window(context.frame(order)?)?;
                window.store(window.words() - 1, order);
                ensure_equal!(window.load(window.words() - 1), order);
            }
            Ok(())
        },
    ),
    success(CallNumber::Map, "one frame in two spaces", |context| {
        let frame = context.frame(12)?;
        let copy = Frame::at(context.copy(frame.capability())?.slot());
        frame.map(context.space()?.capability(), ADDRESS, read_write())?;
        Ok(copy.map(context.space()?.capability(), ADDRESS, read_write())?)
    }),
    refusal(
        CallNumber::Map,
        Error::Misaligned,
        "addresses off the frame's size",
        |context| {
            let (space, frame) = (context.space()?.capability(), context.frame(21)?);
            context.refuses(Error::Misaligned, || {
                frame.map(space, ADDRESS + 1, read_write())
            })?;
            if machine::current().large_order == 12 {
                return Ok(frame.map(space, ADDRESS + 4096, read_write())?);
            }
            context.refuses(Error::Misaligned, || {
                frame.map(space, ADDRESS + 4096, read_write())
            })
        },
    ),
    refusal(
        CallNumber::Map,
        Error::OutOfRange,
        "addresses that are not the user's",
        |context| {
            let (space, frame) = (context.space()?.capability(), context.frame(12)?);
            for address in [1 << 63, u64::MAX - 4095, 0xffff_ffff_8000_0000, 1 << 56] {
                context.refuses(Error::OutOfRange, || {
                    frame.map(space, address, read_write())
                })?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::Map,
        Error::AlreadyMapped,
        "a place that is taken",
        |context| {
            let space = context.space()?.capability();
            context
                .frame(12)?
                .map(space, ADDRESS + 4096, read_write())?;
            let (page, large) = (context.frame(12)?, context.frame(21)?);
            context.refuses(Error::AlreadyMapped, || {
                page.map(space, ADDRESS + 4096, read_write())
            })?;
            context.refuses(Error::AlreadyMapped, || {
                large.map(space, ADDRESS, read_write())
            })
        },
    ),
    refusal(
        CallNumber::Map,
        Error::AlreadyMapped,
        "a capability that is mapped",
        |context| {
            let (space, frame) = (context.space()?.capability(), context.frame(12)?);
            frame.map(space, ADDRESS, read_write())?;
            context.refuses(Error::AlreadyMapped, || {
                frame.map(space, ADDRESS + 4096, read_write())
            })
        },
    ),
    refusal(
        CallNumber::Map,
        Error::NeedsMemory,
        "a space without a fund",
        |context| {
            let (space, frame) = (context.bare_space()?.capability(), context.frame(12)?);
            context.refuses(Error::NeedsMemory, || {
                frame.map(space, ADDRESS, read_write())
            })
        },
    ),
    refusal(
        CallNumber::Map,
        Error::NeedsMemory,
        "a fund that is used up",
        |context| {
            let space = context.bare_space()?.capability();
            fund(space, context.untyped(machine::current().small_fund)?)?;
            for index in 0..16 {
                let frame = context.frame(12)?;
                match frame.map(space, ADDRESS + (index << 30), read_write()) {
                    Ok(()) => {}
                    Err(error) => {
                        expect_error(Err::<(), _>(error), Error::NeedsMemory)?;
                        ensure!(index > 0);
                        return Ok(frame.map(space, ADDRESS + 4096, read_write())?);
                    }
                }
            }
            Err(Stop::failed(
                "a small fund holds fewer than sixteen far places",
            ))
        },
    ),
    refusal(
        CallNumber::Map,
        Error::BadArgument,
        "no right, or write or execute without read",
        |context| {
            let (space, frame) = (context.space()?.capability(), context.frame(12)?);
            let write = Rights::new().with_write(true);
            context.refuses(Error::BadArgument, || {
                frame.map(space, ADDRESS, Rights::new())
            })?;
            context.refuses(Error::BadArgument, || frame.map(space, ADDRESS, write))?;
            let execute = Rights::new().with_execute(true);
            context.refuses(Error::BadArgument, || frame.map(space, ADDRESS, execute))
        },
    ),
    refusal(
        CallNumber::Map,
        Error::MissingRight,
        "rights that the frame has not",
        |context| {
            let space = context.space()?.capability();
            let read = Rights::new().with_read(true);
            let frame = context.mint(context.frame(12)?.capability(), read, 0)?;
            context.refuses(Error::MissingRight, || {
                Frame::at(frame.slot()).map(space, ADDRESS, read_write())
            })
        },
    ),
    success(
        CallNumber::Unmap,
        "the place is free again, the table too",
        |context| {
            let space = context.bare_space()?.capability();
            fund(space, context.untyped(machine::current().small_fund)?)?;
            let (one, other) = (context.frame(12)?, context.frame(12)?);
            for index in 0..64 {
                one.map(space, ADDRESS + (index << 30), read_write())?;
                one.unmap()?;
            }
            one.map(space, ADDRESS, read_write())?;
            one.unmap()?;
            Ok(other.map(space, ADDRESS, read_write())?)
        },
    ),
    refusal(
        CallNumber::Unmap,
        Error::NotMapped,
        "a frame that is nowhere",
        |context| {
            let frame = context.frame(12)?;
            context.refuses(Error::NotMapped, || frame.unmap())?;
            context.window(frame)?;
            frame.unmap()?;
            context.refuses(Error::NotMapped, || frame.unmap())
        },
    ),
    success(
        CallNumber::Protect,
        "parts of a mapping change, and change back",
        |context| {
            let frame = context.frame(21)?;
            let window = context.window(frame)?;
            let read = Rights::new().with_read(true);
            window.store(512, 5);
            frame.protect(4096, 8192, read)?;
            window.store(0, 1);
            window.store(3 * 512, 2);
            ensure_equal!(window.load(512), 5);
            frame.protect(4096, 4096, Rights::new())?;
            frame.protect(0, 1 << 21, read_write())?;
            window.store(512, 6);
            ensure_equal!(window.load(512), 6);
            Ok(())
        },
    ),
    refusal(
        CallNumber::Protect,
        Error::MissingRight,
        "rights that the frame has not",
        |context| {
            let read = Rights::new().with_read(true);
            let space = context.space()?.capability();
            let frame = context.mint(context.frame(12)?.capability(), read, 0)?;
            let frame = Frame::at(frame.slot());
            frame.map(space, ADDRESS, read)?;
            context.refuses(Error::MissingRight, || frame.protect(0, 4096, read_write()))
        },
    ),
    refusal(
        CallNumber::Protect,
        Error::NotMapped,
        "a frame that is nowhere",
        |context| {
            let frame = context.frame(12)?;
            context.refuses(Error::NotMapped, || frame.protect(0, 4096, read_write()))
        },
    ),
    refusal(
        CallNumber::Protect,
        Error::Misaligned,
        "parts of a page",
        |context| {
            let (frame, space) = (context.frame(13)?, context.space()?.capability());
            frame.map(space, ADDRESS, read_write())?;
            context.refuses(Error::Misaligned, || frame.protect(1, 4096, read_write()))?;
            context.refuses(Error::Misaligned, || frame.protect(0, 4095, read_write()))
        },
    ),
    refusal(
        CallNumber::Protect,
        Error::OutOfRange,
        "a range behind the frame's end",
        |context| {
            let (frame, space) = (context.frame(13)?, context.space()?.capability());
            frame.map(space, ADDRESS, read_write())?;
            context.refuses(Error::OutOfRange, || {
                frame.protect(4096, 8192, read_write())
            })?;
            context.refuses(Error::OutOfRange, || {
                frame.protect(4096, !4095, read_write())
            })
        },
    ),
    refusal(
        CallNumber::Protect,
        Error::NeedsMemory,
        "a large entry and no table to split it",
        |context| {
            if machine::current().large_order == 12 {
                return Err(Stop::Skipped("the machine has no large entries"));
            }
            let frame = barely_mapped(context)?;
            let read = Rights::new().with_read(true);
            context.refuses(Error::NeedsMemory, || frame.protect(0, 4096, read))?;
            Ok(frame.protect(0, 1 << 21, read)?)
        },
    ),
    refusal(
        CallNumber::Protect,
        Error::BadArgument,
        "write or execute without read",
        |context| {
            let (frame, space) = (context.frame(12)?, context.space()?.capability());
            frame.map(space, ADDRESS, read_write())?;
            let write = Rights::new().with_write(true);
            context.refuses(Error::BadArgument, || frame.protect(0, 4096, write))?;
            let execute = Rights::new().with_execute(true);
            context.refuses(Error::BadArgument, || frame.protect(0, 4096, execute))
        },
    ),
];
