//! Frames in a row.

use crate::geometry::FrameNumber;
use crate::map::FrameMap;
use crate::refusal::Refusal;

/// Frames that are contiguous in number *and* in their descriptors, of one node, and not more than
/// the largest folio: by construction, there is no other way to have one.
///
/// Inside an extent frames are counted plainly. From one extent into the next nothing leads:
///
/// ```compile_fail
/// fn next(extent: mem::Extent) -> mem::FrameNumber {
///     extent.base() + extent.frames()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    base: FrameNumber,
    frames: u64,
    order: u8,
    node: u8,
}

impl Extent {
    /// Returns the extent of `frames` frames from `base` on.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`], [`Refusal::TooLarge`],
    /// [`Refusal::OutsideMemory`], [`Refusal::NonContiguous`].
    pub fn new(map: &FrameMap, base: FrameNumber, frames: u64) -> Result<Self, Refusal> {
        let max_order = map.geometry().max_order();
        let last = frames.checked_sub(1).ok_or(Refusal::ZeroLength)?;
        let last = base.number().checked_add(last).ok_or(Refusal::Overflow)?;
        FrameNumber::new(last).ok_or(Refusal::Overflow)?;
        if frames > 1 << max_order {
            return Err(Refusal::TooLarge { max_order });
        }
        map.check_present(base, frames)?;
        map.check_contiguous(base, frames)?;
        Ok(Self {
            base,
            frames,
            order: order_of(frames),
            node: map
                .node_of(base)
                .ok_or(Refusal::OutsideMemory { first_bad: base })?,
        })
    }

    /// Returns the extent of a block that the tree of free frames had: aligned, so that it lies in
    /// one section wherever sections matter.
    #[inline]
    pub(crate) fn block(map: &FrameMap, base: FrameNumber, order: u8, node: u8) -> Self {
        debug_assert_eq!(map.check_contiguous(base, 1 << order), Ok(()));
        debug_assert!(base.number().is_multiple_of(1 << order));
        Self {
            base,
            frames: 1 << order,
            order,
            node,
        }
    }

    /// Returns the first frame.
    #[must_use]
    pub const fn base(&self) -> FrameNumber {
        self.base
    }

    /// Returns how many frames there are; at least 1.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns the base-two logarithm of the frames, rounded up.
    #[must_use]
    pub const fn order(&self) -> u8 {
        self.order
    }

    /// Returns the node that it belongs to.
    #[must_use]
    pub const fn node(&self) -> u8 {
        self.node
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.frames << crate::geometry::FRAME_SHIFT
    }

    /// Returns frame `index` of the extent.
    #[must_use]
    pub const fn frame(&self, index: u64) -> Option<FrameNumber> {
        if index < self.frames {
            Some(self.base.plus(index))
        } else {
            None
        }
    }

    /// Returns which of the extent's frames this is.
    #[must_use]
    pub const fn index_of(&self, frame: FrameNumber) -> Option<u64> {
        let index = frame.number().wrapping_sub(self.base.number());
        if index < self.frames {
            Some(index)
        } else {
            None
        }
    }

    /// Returns the `frames` frames from index `first` on.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`] where the extent has not as many.
    pub fn part(&self, first: u64, frames: u64) -> Result<Self, Refusal> {
        if frames == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = first.checked_add(frames).ok_or(Refusal::Overflow)?;
        if end > self.frames {
            return Err(Refusal::Overflow);
        }
        Ok(Self {
            base: self.base.plus(first),
            frames,
            order: order_of(frames),
            node: self.node,
        })
    }

    /// Returns the largest blocks that the extent is made of, by rising frame: each is aligned to
    /// its size.
    pub fn blocks(&self) -> impl Iterator<Item = Self> + use<> {
        let extent = *self;
        let mut index = 0;
        core::iter::from_fn(move || {
            let left = extent.frames - index;
            if left == 0 {
                return None;
            }
            let base = extent.base.plus(index);
            let aligned = base.number().trailing_zeros();
            let order = aligned.min(left.ilog2());
            let order = u8::try_from(order).unwrap_or(0);
            index += 1 << order;
            Some(Self {
                base,
                frames: 1 << order,
                order,
                node: extent.node,
            })
        })
    }
}

/// Returns the smallest order whose blocks have `frames` frames.
const fn order_of(frames: u64) -> u8 {
    (64 - (frames - 1).leading_zeros()) as u8
}
