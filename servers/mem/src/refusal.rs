//! Why the allocator refuses.

use crate::geometry::FrameNumber;

/// Why a request was refused. It had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No frames; the client is to blame.
    ZeroLength,
    /// The range goes beyond the last frame that there can be; the client is to blame.
    Overflow,
    /// The start is no multiple of what it has to be; the client is to blame.
    Misaligned,
    /// The order is above what this machine's folios can have; the client is to blame.
    TooLarge {
        /// The largest order.
        max_order: u8,
    },
    /// A frame is no memory, or memory of another node; the client is to blame.
    OutsideMemory {
        /// The first such frame.
        first_bad: FrameNumber,
    },
    /// The descriptors are not in a row; nobody is to blame.
    NonContiguous {
        /// The first frame whose descriptor does not follow that of the frame before.
        first_bad: FrameNumber,
    },
    /// Two ranges share frames; the client is to blame.
    Overlap {
        /// The first frame of the second range.
        at: FrameNumber,
    },
    /// A frame is in nobody's use: it was freed before, or never given; the client is to blame.
    NotAllocated {
        /// The first such frame.
        at: FrameNumber,
    },
    /// A frame is somebody else's; the client is to blame.
    Foreign {
        /// The first such frame.
        at: FrameNumber,
    },
    /// A folio is still mapped; the client is to blame.
    Mapped {
        /// Its first frame.
        at: FrameNumber,
    },
    /// A folio is pinned for a device, counts as often as it can, or is just being moved.
    Busy {
        /// Its first frame.
        at: FrameNumber,
    },
    /// There is no free block of that order, or no place for a contiguous request.
    OutOfMemory,
    /// The owner would have more than its limit; it is to blame.
    Limit {
        /// Frames that it could still have.
        left: u64,
    },
    /// The list is full.
    TooMany,
    /// There is no such owner, node or area; the client is to blame.
    Unknown,
}
