//! Where a guest's files go in its memory, and where it starts.
//!
//! ```text
//!  base        +2 MiB                                                       base + bytes
//!   │            │ image ........│        │ initrd │ device tree (2 MiB, aligned) │
//! ```
//! Pure: the image is looked at, a [`Plan`] comes out, somebody else copies. An image is a Linux
//! `Image` (booti header, "Boot image header in RISC-V Linux"), an ELF file, or else flat.

mod elf;
mod linux;
mod place;

pub use place::{Flattened, plan_flattened};

use alloc::vec::Vec;
use core::fmt;

/// A guest's memory, as guest-physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    base: u64,
    bytes: u64,
}

impl Memory {
    /// Returns the range, or `None` where it is empty, not made of pages or wraps around.
    #[must_use]
    pub fn new(base: u64, bytes: u64) -> Option<Self> {
        let pages = (base | bytes).is_multiple_of(abi::PAGE_SIZE);
        (bytes > 0 && pages && base.checked_add(bytes).is_some()).then_some(Self { base, bytes })
    }

    /// Returns the first address.
    #[must_use]
    pub const fn base(self) -> u64 {
        self.base
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Returns the address behind the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.base + self.bytes
    }

    /// Returns whether a range lies in the memory; an empty one does where its address may follow
    /// the last byte.
    #[must_use]
    pub fn contains(self, address: u64, bytes: u64) -> bool {
        address >= self.base
            && address
                .checked_add(bytes)
                .is_some_and(|end| end <= self.end())
    }
}

/// Distance from the start of memory at which flat images (and Linux) are loaded.
pub const FLAT_OFFSET: u64 = 2 << 20;
/// Alignment of Linux images and of the device tree.
const HUGE_PAGE: u64 = 2 << 20;

/// The kinds of image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Linux `Image`.
    Linux,
    /// An ELF file.
    Elf,
    /// Anything else: loaded as it is and entered at its first byte.
    Flat,
}

/// One part of the image and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Offset in the file.
    pub offset: usize,
    /// Bytes of the file.
    pub bytes: usize,
    /// Guest-physical address.
    pub address: u64,
    /// Bytes in memory, at least `bytes`; what is more has to be zero.
    pub memory_bytes: u64,
}

/// A place for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What goes where. Places do not overlap, and lie in the guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the image is.
    pub kind: Kind,
    /// The first instruction.
    pub entry: u64,
    /// Parts of the image.
    pub segments: Vec<Segment>,
    /// The initial RAM disk.
    pub initrd: Option<Place>,
    /// Room for the device tree.
    pub device_tree: Place,
}

/// Sizes of what is loaded beside the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Bytes of the initial RAM disk.
    pub initrd_bytes: Option<u64>,
    /// The most bytes that the device tree will have.
    pub device_tree_bytes: u64,
}

/// Why a guest cannot be loaded. The text is for its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file has no bytes.
    Empty,
    /// The file ends inside its headers or segments.
    Truncated,
    /// The file is compressed.
    Compressed,
    /// The file is an EFI application without a Linux header for RISC-V.
    EfiOnly,
    /// The file is for another machine.
    WrongMachine,
    /// The file is 32-bit or big-endian.
    WrongFormat,
    /// The header contradicts itself.
    BadHeader,
    /// The ELF file has nothing to load, or no entry in what it loads.
    NothingToRun,
    /// A part of the image lies outside the guest's memory.
    Outside {
        /// Its guest-physical address.
        address: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// Two parts of the image overlap.
    Overlap,
    /// The memory is too small for image, initial RAM disk and device tree together.
    TooLittleMemory {
        /// Bytes that were missing.
        missing: u64,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Empty => "the guest file is empty",
            Self::Truncated => "the guest file ends inside its headers or segments",
            Self::Compressed => "the guest file is compressed: unpack it first",
            Self::EfiOnly => "the guest file is an EFI program without a RISC-V Linux header",
            Self::WrongMachine => "the guest file is for another machine, not RISC-V",
            Self::WrongFormat => "the guest file is not 64-bit little-endian",
            Self::BadHeader => "the guest file's header contradicts itself",
            Self::NothingToRun => "the guest file has no segment with its entry point",
            Self::Overlap => "segments of the guest file overlap",
            Self::Outside { address, bytes } => {
                return write!(
                    formatter,
                    "{bytes} bytes at {address:#x} of the guest file lie outside the guest's memory"
                );
            }
            Self::TooLittleMemory { missing } => {
                return write!(
                    formatter,
                    "the guest's memory is {} KiB too small",
                    missing.div_ceil(1024)
                );
            }
        };
        formatter.write_str(text)
    }
}

/// Little-endian fields of a file.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// Returns the `N` bytes at `offset`.
    fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], LoadError> {
        let end = offset.checked_add(N).ok_or(LoadError::Truncated)?;
        let bytes = self
            .0
            .get(offset..end)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(LoadError::Truncated)
    }

    /// Returns the 16-bit number at `offset`.
    pub fn u16(&self, offset: usize) -> Result<u16, LoadError> {
        self.array(offset).map(u16::from_le_bytes)
    }

    /// Returns the 32-bit number at `offset`.
    pub fn u32(&self, offset: usize) -> Result<u32, LoadError> {
        self.array(offset).map(u32::from_le_bytes)
    }

    /// Returns the 64-bit number at `offset`.
    pub fn u64(&self, offset: usize) -> Result<u64, LoadError> {
        self.array(offset).map(u64::from_le_bytes)
    }
}

/// Returns what an image is.
///
/// # Errors
///
/// [`LoadError`] where it is recognisably something that cannot be loaded.
pub fn recognise(image: &[u8]) -> Result<Kind, LoadError> {
    match image {
        [] => Err(LoadError::Empty),
        _ if linux::is_linux(image) => Ok(Kind::Linux),
        [0x7f, b'E', b'L', b'F', ..] => Ok(Kind::Elf),
        [0x1f, 0x8b, ..]
        | [b'B', b'Z', b'h', ..]
        | [0xfd, b'7', b'z', b'X', b'Z', ..]
        | [0x28, 0xb5, 0x2f, 0xfd, ..] => Err(LoadError::Compressed),
        [b'M', b'Z', ..] => Err(LoadError::EfiOnly),
        _ => Ok(Kind::Flat),
    }
}

/// Returns what goes where.
///
/// # Errors
///
/// [`LoadError`] where the image is not one of the kinds, or does not fit.
pub fn plan(image: &[u8], memory: Memory, extras: Extras) -> Result<Plan, LoadError> {
    let kind = recognise(image)?;
    let (entry, segments) = match kind {
        Kind::Linux => linux::segments(image, memory)?,
        Kind::Elf => elf::segments(image)?,
        Kind::Flat => flat(image, memory),
    };
    let mut end = memory.base();
    for segment in &segments {
        if !memory.contains(segment.address, segment.memory_bytes) {
            let (address, bytes) = (segment.address, segment.memory_bytes);
            return Err(LoadError::Outside { address, bytes });
        }
        end = end.max(segment.address + segment.memory_bytes);
    }
    check_overlap(&segments)?;
    let (initrd, device_tree) = place::extras(memory, end, extras)?;
    Ok(Plan {
        kind,
        entry,
        segments,
        initrd,
        device_tree,
    })
}

/// Returns entry and place of a flat image.
fn flat(image: &[u8], memory: Memory) -> (u64, Vec<Segment>) {
    let address = memory.base().saturating_add(FLAT_OFFSET);
    let bytes = image.len();
    (
        address,
        alloc::vec![Segment {
            offset: 0,
            bytes,
            address,
            memory_bytes: bytes as u64
        }],
    )
}

/// Checks that no two segments overlap; each lies in memory already.
fn check_overlap(segments: &[Segment]) -> Result<(), LoadError> {
    for (index, one) in segments.iter().enumerate() {
        for other in segments.iter().skip(index + 1) {
            let apart = one.address + one.memory_bytes <= other.address
                || other.address + other.memory_bytes <= one.address;
            if !apart {
                return Err(LoadError::Overlap);
            }
        }
    }
    Ok(())
}
