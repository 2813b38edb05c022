//! One device, one owner: of the host's devices, and of each guest's.

use std::ops::Range;

use crate::machine::Machine;
use crate::refusal::{Problem, Reason};
use crate::size::Size;
use crate::source::{GuestSource, SystemSource, in_order};

/// Bytes of a guest device's registers if the manifest does not say.
pub(super) const DEFAULT_DEVICE_SIZE: u64 = 0x100;

/// A host device is handed out in whole pages.
const PAGE: u64 = 4096;

/// Physical addresses end here.
const ADDRESS_SPACE: u64 = 1 << 56;

/// Something that owns addresses and perhaps an interrupt line.
struct Claim {
    owner: String,
    range: Range<u64>,
    irq: Option<u32>,
    span: Range<usize>,
}

/// Checks that no two servers own one host device.
pub(super) fn check_host(source: &SystemSource) -> Result<(), Problem> {
    let mut claims = Vec::new();
    for (name, server) in in_order(&source.server) {
        let Some(device) = &server.device else {
            continue;
        };
        let (span, device) = (device.span(), device.get_ref());
        let range = match device.registers() {
            Some((base, size)) => {
                let exact = range(base, size, PAGE, span.clone())?;
                exact.start..exact.end.next_multiple_of(PAGE)
            }
            None => 0..0,
        };
        let owner = format!("server `{}`", name.get_ref());
        claims.push(Claim {
            owner,
            range,
            irq: device.irq,
            span,
        });
    }
    one_owner_each(&claims)
}

/// Checks that no two devices of a guest overlap, nor one its memory or interrupt controller.
pub(super) fn check_guest(
    source: &GuestSource,
    memory: Size,
    machine: &Machine,
) -> Result<(), Problem> {
    let base = machine.guest_memory_base;
    let (controller, length) = machine.guest_interrupt_controller;
    let fixed = |owner: &str, range| Claim {
        owner: owner.to_owned(),
        range,
        irq: None,
        span: 0..0,
    };
    let mut claims = vec![
        fixed(
            "the guest's memory",
            base..base.saturating_add(memory.bytes()),
        ),
        fixed(
            "the guest's interrupt controller",
            controller..controller + length,
        ),
    ];
    for (name, device) in in_order(&source.devices) {
        let (span, device) = (device.span(), device.get_ref());
        let range = range(
            device.base,
            device.size.unwrap_or(DEFAULT_DEVICE_SIZE),
            4,
            span.clone(),
        )?;
        let owner = format!("device `{}`", name.get_ref());
        claims.push(Claim {
            owner,
            range,
            irq: Some(device.irq),
            span,
        });
    }
    one_owner_each(&claims)
}

/// Returns a checked address range.
fn range(base: u64, size: u64, align: u64, span: Range<usize>) -> Result<Range<u64>, Problem> {
    let bad = |text: String| Err(Reason::BadRange(text).at(span.clone()));
    let end = base.saturating_add(size);
    if end > ADDRESS_SPACE {
        return bad(format!(
            "{base:#x} + {size:#x} is past the end of the address space"
        ));
    }
    if size == 0 {
        return bad(format!("the device at {base:#x} has no bytes"));
    }
    if !base.is_multiple_of(align) {
        return bad(format!("{base:#x} is no multiple of {align}"));
    }
    Ok(base..end)
}

/// Refuses the later of two claims to the same address or interrupt line.
fn one_owner_each(claims: &[Claim]) -> Result<(), Problem> {
    for (index, claim) in claims.iter().enumerate() {
        for earlier in &claims[..index] {
            let what = if overlap(&claim.range, &earlier.range) {
                format!("address {:#x}", claim.range.start.max(earlier.range.start))
            } else if claim.irq.is_some() && claim.irq == earlier.irq {
                format!("interrupt line {}", claim.irq.unwrap_or_default())
            } else {
                continue;
            };
            let owner = earlier.owner.clone();
            return Err(Reason::TwoOwners { what, owner }.at(claim.span.clone()));
        }
    }
    Ok(())
}

/// Tells whether two ranges share an address.
const fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
