//! Places beside the image, and of images that were flattened already.

use super::{Extras, HUGE_PAGE, Kind, LoadError, Memory, Place, Plan, Segment};

/// An image that is only bytes, and what its file said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flattened {
    /// Bytes of the image.
    pub bytes: usize,
    /// Guest-physical address of the first byte.
    pub load: u64,
    /// Bytes in memory; what is more than `bytes` has to be zero.
    pub memory_bytes: u64,
    /// Guest-physical address of the first instruction.
    pub entry: u64,
}

/// Returns what goes where for an image that was flattened already.
///
/// # Errors
///
/// [`LoadError`] where it does not fit, or starts outside of itself.
pub fn plan_flattened(image: Flattened, memory: Memory, sizes: Extras) -> Result<Plan, LoadError> {
    if image.bytes == 0 {
        return Err(LoadError::Empty);
    }
    let (address, memory_bytes) = (image.load, image.memory_bytes.max(image.bytes as u64));
    if !memory.contains(address, memory_bytes) {
        return Err(LoadError::Outside {
            address,
            bytes: memory_bytes,
        });
    }
    let inside = image.entry.checked_sub(address);
    if inside.is_none_or(|inside| inside >= memory_bytes) {
        return Err(LoadError::NothingToRun);
    }
    let (initrd, device_tree) = extras(memory, address + memory_bytes, sizes)?;
    let bytes = image.bytes;
    let segment = Segment {
        offset: 0,
        bytes,
        address,
        memory_bytes,
    };
    Ok(Plan {
        kind: Kind::Flat,
        entry: image.entry,
        segments: alloc::vec![segment],
        initrd,
        device_tree,
    })
}

/// Places initial RAM disk and device tree near the top of memory, above `end`.
pub(super) fn extras(
    memory: Memory,
    end: u64,
    extras: Extras,
) -> Result<(Option<Place>, Place), LoadError> {
    let down = |top: u64, bytes: u64, align: u64| {
        let place = top.checked_sub(bytes).map(|address| address & !(align - 1));
        let fits = place.filter(|&address| address >= end);
        fits.ok_or(LoadError::TooLittleMemory {
            missing: end.saturating_add(bytes).saturating_sub(top).max(1),
        })
    };
    let tree_bytes = extras.device_tree_bytes.max(1);
    let address = down(memory.end(), tree_bytes, HUGE_PAGE)?;
    let device_tree = Place {
        address,
        bytes: tree_bytes,
    };
    let initrd = match extras.initrd_bytes {
        Some(bytes) => Some(Place {
            address: down(address, bytes, abi::PAGE_SIZE)?,
            bytes,
        }),
        None => None,
    };
    Ok((initrd, device_tree))
}
