//! Scatter lists: memory for a device, of which each entry is contiguous.

use crate::extent::Extent;
use crate::geometry::{FRAME_SHIFT, FrameNumber};
use crate::map::FrameMap;
use crate::refusal::Refusal;
use alloc::vec::Vec;

/// Bytes of memory in a row, in frames that are an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    extent: Extent,
    offset: u64,
    length: u64,
}

impl Entry {
    /// Returns the entry of `length` bytes from byte `offset` of frame `first` on.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`], [`Refusal::Misaligned`] where the offset is
    /// not in the first frame, [`Refusal::TooLarge`], [`Refusal::OutsideMemory`],
    /// [`Refusal::NonContiguous`]: the bytes would lie on both sides of a hole.
    pub fn new(
        map: &FrameMap,
        first: FrameNumber,
        offset: u64,
        length: u64,
    ) -> Result<Self, Refusal> {
        if offset >> FRAME_SHIFT != 0 {
            return Err(Refusal::Misaligned);
        }
        if length == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = offset.checked_add(length).ok_or(Refusal::Overflow)?;
        let extent = Extent::new(map, first, end.div_ceil(1 << FRAME_SHIFT))?;
        Ok(Self {
            extent,
            offset,
            length,
        })
    }

    /// Returns the entry of `length` bytes from byte `offset` of an extent on; there is nothing to
    /// look up, as an extent has no hole.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`] where the extent ends before.
    pub fn of_extent(extent: &Extent, offset: u64, length: u64) -> Result<Self, Refusal> {
        if length == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = offset.checked_add(length).ok_or(Refusal::Overflow)?;
        let first = offset >> FRAME_SHIFT;
        let frames = end.div_ceil(1 << FRAME_SHIFT) - first;
        Ok(Self {
            extent: extent.part(first, frames)?,
            offset: offset & ((1 << FRAME_SHIFT) - 1),
            length,
        })
    }

    /// Returns the entry with as many bytes more.
    fn joined(&self, map: &FrameMap, more: u64) -> Result<Self, Refusal> {
        let length = self.length.checked_add(more).ok_or(Refusal::Overflow)?;
        Self::new(map, self.extent.base(), self.offset, length)
    }

    /// Returns the frames that the bytes lie in.
    #[must_use]
    pub const fn extent(&self) -> &Extent {
        &self.extent
    }

    /// Returns the physical address of the first byte.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.extent.base().address() + self.offset
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }
}

/// Memory for a device, in entries.
#[derive(Clone, Debug, Default)]
pub struct ScatterList {
    entries: Vec<Entry>,
    limit: usize,
}

impl ScatterList {
    /// Makes a list of at most `limit` entries: what a device takes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            limit,
        }
    }

    /// Returns the entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooMany`].
    pub fn push(&mut self, entry: Entry) -> Result<(), Refusal> {
        if self.entries.len() >= self.limit {
            return Err(Refusal::TooMany);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Adds `length` bytes from byte `offset` of an extent on: to the last entry, where they follow
    /// it and both are contiguous, and else as an entry of their own.
    ///
    /// # Errors
    ///
    /// As [`Entry::of_extent`], and [`Refusal::TooMany`]; the list is as before.
    pub fn add(
        &mut self,
        map: &FrameMap,
        extent: &Extent,
        offset: u64,
        length: u64,
    ) -> Result<(), Refusal> {
        let entry = Entry::of_extent(extent, offset, length)?;
        if let Some(last) = self.entries.last_mut()
            && last.address() + last.length() == entry.address()
            && let Ok(joined) = last.joined(map, length)
        {
            *last = joined;
            return Ok(());
        }
        self.push(entry)
    }

    /// Returns the bytes of all entries.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.entries.iter().map(Entry::length).sum()
    }
}
