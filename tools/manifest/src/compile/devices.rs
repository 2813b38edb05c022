//! One device, one owner: of the host's devices, and of each guest's.

use std::ops::Range;

use crate::compiled::AddressSpace;
use crate::machine::Machine;
use crate::refusal::{Problem, Reason};
use crate::size::Size;
use crate::source::{GuestSource, HostDeviceSource, SystemSource, in_order};

/// Bytes of a guest device's registers if the manifest does not say.
pub(super) const DEFAULT_DEVICE_SIZE: u64 = 0x100;

/// A host device is handed out in whole pages.
const PAGE: u64 = 4096;

/// Physical addresses end here.
const ADDRESS_SPACE: u64 = 1 << 56;

/// I/O ports end here.
const PORTS: u64 = 1 << 16;

/// Something that owns addresses and perhaps an interrupt line.
struct Claim {
    owner: String,
    space: AddressSpace,
    range: Range<u64>,
    irq: Option<u32>,
    span: Range<usize>,
}

/// Returns the address space of a device and its first address there: one of the two is given, and
/// ports only where the machine has them.
pub(super) fn place(
    base: Option<u64>,
    port: Option<u64>,
    machine: &Machine,
    span: Range<usize>,
) -> Result<(AddressSpace, u64), Problem> {
    let bad = |text: &str| Err(Reason::BadRange(text.to_owned()).at(span.clone()));
    match (base, port) {
        (Some(base), None) => Ok((AddressSpace::Memory, base)),
        (None, Some(_)) if !machine.has_ports => bad("the machine has no ports"),
        (None, Some(port)) => Ok((AddressSpace::Ports, port)),
        (Some(_), Some(_)) => bad("a device has a base or a port, not both"),
        (None, None) => bad("a device needs a base or a port"),
    }
}

/// Returns where the registers of a host's device are: address space, first address, bytes; `None`
/// where it has only an interrupt.
pub(super) fn host_registers(
    device: &HostDeviceSource,
    machine: &Machine,
    span: Range<usize>,
) -> Result<Option<(AddressSpace, u64, u64)>, Problem> {
    let has_none = device.base.is_none() && device.port.is_none() && device.size.is_none();
    if has_none && device.irq.is_some() {
        return Ok(None);
    }
    let (space, base) = place(device.base, device.port, machine, span)?;
    Ok(Some((space, base, device.size.unwrap_or(0))))
}

/// Checks that no two servers own one host device.
pub(super) fn check_host(source: &SystemSource, machine: &Machine) -> Result<(), Problem> {
    let mut claims = Vec::new();
    for (name, server) in in_order(&source.server) {
        let Some(device) = &server.device else {
            continue;
        };
        let (span, device) = (device.span(), device.get_ref());
        let claim = host_registers(device, machine, span.clone())?;
        let (space, base, size) = claim.unwrap_or_default();
        let range = match (claim, space) {
            (None, _) => 0..0,
            (Some(_), AddressSpace::Ports) => range(space, base, size, (1, span.clone()))?,
            (Some(_), AddressSpace::Memory) => {
                let exact = range(space, base, size, (PAGE, span.clone()))?;
                exact.start..exact.end.next_multiple_of(PAGE)
            }
        };
        let owner = format!("server `{}`", name.get_ref());
        claims.push(Claim {
            owner,
            space,
            range,
            irq: device.irq,
            span,
        });
    }
    one_owner_each(&claims)
}

/// Checks that no two devices of a guest overlap, nor one its memory or interrupt controllers.
pub(super) fn check_guest(
    source: &GuestSource,
    memory: Size,
    machine: &Machine,
) -> Result<(), Problem> {
    let base = machine.guest_memory_base;
    let fixed = |owner: &str, space, range| Claim {
        owner: owner.to_owned(),
        space,
        range,
        irq: None,
        span: 0..0,
    };
    let memory = base..base.saturating_add(memory.bytes());
    let mut claims = vec![fixed("the guest's memory", AddressSpace::Memory, memory)];
    for (space, first, length) in machine.guest_interrupt_controllers {
        let range = *first..*first + *length;
        claims.push(fixed("the guest's interrupt controller", *space, range));
    }
    for (name, device) in in_order(&source.devices) {
        let (span, device) = (device.span(), device.get_ref());
        let size = device.size.unwrap_or(DEFAULT_DEVICE_SIZE);
        let (space, base) = place(device.base, device.port, machine, span.clone())?;
        let range = range(space, base, size, (4, span.clone()))?;
        let owner = format!("device `{}`", name.get_ref());
        claims.push(Claim {
            owner,
            space,
            range,
            irq: Some(device.irq),
            span,
        });
    }
    one_owner_each(&claims)
}

/// Returns a checked address range; memory begins at a multiple of `align`.
fn range(
    space: AddressSpace,
    base: u64,
    size: u64,
    (align, span): (u64, Range<usize>),
) -> Result<Range<u64>, Problem> {
    let (limit, align) = match space {
        AddressSpace::Memory => (ADDRESS_SPACE, align),
        AddressSpace::Ports => (PORTS, 1),
    };
    let bad = |text: String| Err(Reason::BadRange(text).at(span.clone()));
    let end = base.saturating_add(size);
    if end > limit {
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
            let shares = claim.space == earlier.space && overlap(&claim.range, &earlier.range);
            let what = if shares {
                let first = claim.range.start.max(earlier.range.start);
                match claim.space {
                    AddressSpace::Memory => format!("address {first:#x}"),
                    AddressSpace::Ports => format!("port {first:#x}"),
                }
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
