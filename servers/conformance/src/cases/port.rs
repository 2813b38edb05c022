//! I/O ports. What a call refuses is the same on machines without any.

use super::derivation::is_empty;
use super::prelude::*;
use crate::machine;
use abi::PortRange;
use abi::boot::SLOT_IO_PORTS;
use rt::IoPorts;

/// All ports.
const PORTS: IoPorts = IoPorts::own(SLOT_IO_PORTS);

/// Returns the port that the suite plays with.
fn port() -> Outcome<u64> {
    let port = machine::current().port;
    port.ok_or(Stop::Skipped("the machine has no ports"))
}

/// Makes a capability for `count` ports from `first` on.
#[track_caller]
fn few(context: &Context, first: u16, count: u64) -> Outcome<IoPorts> {
    let range = PortRange::new().with_first(first).with_count(count);
    let all = PORTS.capability();
    let minted = context.mint(all, Rights::ALL, range.into_bits())?;
    Ok(IoPorts::at(minted.slot()))
}

/// Reads, then writes: both have to be refused.
#[track_caller]
fn refused(context: &Context, error: Error, ports: IoPorts, at: (u64, u64)) -> Outcome {
    context.refuses(error, || ports.read(at.0, at.1).map(drop))?;
    context.refuses(error, || ports.write(at.0, at.1, 0))
}

/// Makes an access of each size that is none.
#[track_caller]
fn odd_sizes(context: &Context) -> Outcome {
    for size in [0, 3, 5, 8, u64::MAX] {
        refused(context, Error::BadArgument, PORTS, (0x80, size))?;
    }
    Ok(())
}

/// Makes accesses that begin before, end behind or lie outside what the capability is about.
#[track_caller]
fn outside(context: &Context) -> Outcome {
    let eight = few(context, 0x3f8, 8)?;
    for at in [(0x3f7, 1), (0x3f7, 2), (0x3fd, 4), (0x3ff, 2), (0x400, 1)] {
        refused(context, Error::OutOfRange, eight, at)?;
    }
    let beyond = few(context, 0xfffe, 8)?;
    for at in [(0xffff, 2), (0x1_0000, 1), (u64::MAX, 1), (u64::MAX, 4)] {
        refused(context, Error::OutOfRange, PORTS, at)?;
        refused(context, Error::OutOfRange, beyond, at)?;
    }
    Ok(())
}

/// Makes an access where there are no ports.
#[track_caller]
fn unsupported(context: &Context) -> Outcome {
    if port().is_ok() {
        return Err(Stop::Skipped("the machine has ports"));
    }
    refused(context, Error::Unsupported, PORTS, (0x80, 1))
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::PortWrite,
        "a port keeps what is written to it",
        |_| {
            let port = port()?;
            for value in [0x5a, 0xff, 0] {
                PORTS.write(port, 1, value)?;
                ensure_equal!(u64::from(PORTS.read(port, 1)?), u64::from(value));
            }
            Ok(())
        },
    ),
    success(
        CallNumber::PortRead,
        "the last port of a range, and two at once",
        |context| {
            let port = port()?;
            let first = u16::try_from(port - 1).map_err(|_| Stop::failed("a port"))?;
            let two = few(context, first, 2)?;
            two.write(port, 1, 0x77)?;
            ensure_equal!(u64::from(two.read(port, 1)?), 0x77);
            ensure_equal!(u64::from(two.read(port - 1, 2)? >> 8), 0x77);
            Ok(())
        },
    ),
    refusal(
        CallNumber::PortRead,
        Error::BadArgument,
        "sizes other than 1, 2 and 4",
        odd_sizes,
    ),
    refusal(
        CallNumber::PortWrite,
        Error::BadArgument,
        "a value that is wider than the access",
        |context| {
            context.refuses(Error::BadArgument, || PORTS.write(0x80, 1, 0x100))?;
            context.refuses(Error::BadArgument, || PORTS.write(0x80, 2, 0x1_0000))
        },
    ),
    refusal(
        CallNumber::PortRead,
        Error::OutOfRange,
        "ports outside of the range",
        outside,
    ),
    refusal(
        CallNumber::PortWrite,
        Error::OutOfRange,
        "ports outside of the range",
        outside,
    ),
    refusal(
        CallNumber::PortRead,
        Error::Unsupported,
        "a machine without ports",
        unsupported,
    ),
    refusal(
        CallNumber::PortWrite,
        Error::Unsupported,
        "a machine without ports",
        unsupported,
    ),
    refusal(
        CallNumber::Mint,
        Error::BadArgument,
        "a range of ports that has one already",
        |context| {
            let eight = few(context, 0x3f8, 8)?.capability();
            let slot = context.slot();
            context.refuses(Error::BadArgument, || {
                eight.mint(slot, Rights::ALL, 1 << 16).map(drop)
            })
        },
    ),
    success(
        CallNumber::Revoke,
        "ports that were given away come back",
        |context| {
            let eight = few(context, 0x3f8, 8)?;
            let copy = eight.capability().copy(context.slot())?;
            eight.capability().revoke()?;
            is_empty(copy)?;
            eight.capability().delete()?;
            is_empty(eight.capability())
        },
    ),
];
