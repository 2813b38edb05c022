//! Walks over folios in use: mappings, pins for devices, poison.

use crate::account::Owner;
use crate::descriptor::{Descriptor, State};
use crate::extent::Extent;
use crate::folios::Folios;
use crate::geometry::{FRAME_SHIFT, FrameNumber};
use crate::refusal::Refusal;

/// Largest count of pins of a folio, in frames.
const MAX_PINS: u64 = (1 << 20) - 1;
/// Largest number of mappings of a folio.
const MAX_MAPPINGS: u16 = (1 << 8) - 1;

/// What is done with frames of one folio.
struct Step {
    folio: Extent,
    head: Descriptor,
    /// How many of its frames.
    frames: u64,
}

impl Folios {
    /// Walks over the folios that frames of an extent lie in, one step each.
    fn steps(&self, extent: Extent) -> impl Iterator<Item = Result<Step, Refusal>> + use<'_> {
        let mut index = 0;
        core::iter::from_fn(move || {
            let at = extent.frame(index)?;
            let Some((folio, head)) = self.map.folio_of(at) else {
                index = extent.frames();
                return Some(Err(Refusal::NotAllocated { at }));
            };
            let inside = at.number() - folio.base().number();
            let frames = (extent.frames() - index).min(folio.frames() - inside);
            index += frames;
            Some(Ok(Step {
                folio,
                head,
                frames,
            }))
        })
    }

    /// Changes the heads of all folios that frames of an owner lie in, or none of them.
    fn change(
        &mut self,
        owner: Owner,
        extent: Extent,
        change: impl Fn(&Step) -> Result<Descriptor, Refusal>,
    ) -> Result<(), Refusal> {
        for step in self.steps(extent) {
            let step = step?;
            if step.head.owner() != owner.number() {
                let at = step.folio.base();
                return Err(Refusal::Foreign { at });
            }
            change(&step)?;
        }
        let mut index = 0;
        while let Some(at) = extent.frame(index) {
            let rest = extent.part(index, extent.frames() - index)?;
            let step = self
                .steps(rest)
                .next()
                .ok_or(Refusal::NotAllocated { at })??;
            let head = change(&step)?;
            self.map.set(step.folio.base(), head);
            index += step.frames;
        }
        Ok(())
    }

    /// Pins frames for a device: their folios are neither moved nor freed until they are unpinned.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllocated`], [`Refusal::Foreign`], [`Refusal::Busy`] where a folio is just
    /// moved, or pinned as often as can be counted.
    pub fn pin(&mut self, owner: Owner, extent: Extent) -> Result<(), Refusal> {
        self.change(owner, extent, |step| {
            let pins = u64::from(step.head.pins()) + step.frames;
            let at = step.folio.base();
            if pins > MAX_PINS || step.head.leaving() {
                return Err(Refusal::Busy { at });
            }
            Ok(step.head.with_pins(u32::try_from(pins).unwrap_or(u32::MAX)))
        })
    }

    /// Takes pins of frames away; where the device wrote, says so of every folio.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllocated`] (also where frames are not pinned), [`Refusal::Foreign`].
    pub fn unpin(&mut self, owner: Owner, extent: Extent, wrote: bool) -> Result<(), Refusal> {
        self.change(owner, extent, |step| {
            let at = step.folio.base();
            let frames = u32::try_from(step.frames).ok();
            let pins = frames.and_then(|frames| step.head.pins().checked_sub(frames));
            let head = step
                .head
                .with_pins(pins.ok_or(Refusal::NotAllocated { at })?);
            Ok(head.with_dirty(head.dirty() || wrote))
        })
    }

    /// Counts a mapping of the folio that begins at `base`.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllocated`], [`Refusal::Foreign`], [`Refusal::Busy`] where it cannot be
    /// counted.
    pub fn note_mapped(&mut self, owner: Owner, base: FrameNumber) -> Result<(), Refusal> {
        let head = self.head_of(owner, base)?;
        let mappings = head.mappings() + 1;
        if mappings > MAX_MAPPINGS {
            return Err(Refusal::Busy { at: base });
        }
        self.map.set(base, head.with_mappings(mappings));
        Ok(())
    }

    /// Keeps the folio that begins at `base` from being moved, pinned or freed while it is prepared
    /// for its owner, or lets it go.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllocated`], [`Refusal::Foreign`].
    pub fn keep_still(
        &mut self,
        owner: Owner,
        base: FrameNumber,
        is_still: bool,
    ) -> Result<(), Refusal> {
        let head = self.head_of(owner, base)?;
        self.map.set(base, head.with_leaving(is_still));
        Ok(())
    }

    /// Counts one mapping of the folio that begins at `base` less.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllocated`] (also where it is not mapped), [`Refusal::Foreign`].
    pub fn note_unmapped(&mut self, owner: Owner, base: FrameNumber) -> Result<(), Refusal> {
        let head = self.head_of(owner, base)?;
        let mappings = head.mappings().checked_sub(1);
        let mappings = mappings.ok_or(Refusal::NotAllocated { at: base })?;
        self.map.set(base, head.with_mappings(mappings));
        Ok(())
    }

    /// Returns the descriptor of an owner's folio that begins at a frame.
    fn head_of(&self, owner: Owner, base: FrameNumber) -> Result<Descriptor, Refusal> {
        let head = self.map.get(base);
        if head.state() != State::Head {
            return Err(Refusal::NotAllocated { at: base });
        }
        if head.owner() != owner.number() {
            return Err(Refusal::Foreign { at: base });
        }
        Ok(head)
    }

    /// Notes that a frame's memory is defect. A free one is not given out any more, one in use not
    /// when it comes back. Returns the folio that it lies in, if it is in use.
    ///
    /// # Errors
    ///
    /// [`Refusal::OutsideMemory`].
    pub fn poison(&mut self, frame: FrameNumber) -> Result<Option<Extent>, Refusal> {
        self.map.check_present(frame, 1)?;
        if self.is_free(frame) {
            let pool = usize::from(self.map.get(frame).pool());
            if let Some(pool) = self.pools.get_mut(pool) {
                pool.take_at(frame.number());
            }
        }
        self.map.set(frame, self.map.get(frame).with_poisoned(true));
        let Some((folio, _)) = self.map.folio_of(frame) else {
            return Ok(None);
        };
        let head = self.map.get(folio.base());
        self.map.set(folio.base(), head.with_damaged(true));
        Ok(Some(folio))
    }

    /// Returns how many of the `length` bytes from byte `offset` of a folio on can be read before
    /// its first poisoned frame; what lies behind the folio cannot.
    #[must_use]
    pub fn readable_before_poison(&self, folio: &Extent, offset: u64, length: u64) -> u64 {
        let frame_bytes = 1_u64 << FRAME_SHIFT;
        let length = length.min(folio.bytes().saturating_sub(offset));
        let mut readable = 0;
        while readable < length {
            let at = offset + readable;
            let frame = folio.frame(at >> FRAME_SHIFT);
            if frame.is_none_or(|frame| self.map.get(frame).poisoned()) {
                return readable;
            }
            let rest_of_frame = frame_bytes - at % frame_bytes;
            readable += rest_of_frame.min(length - readable);
        }
        readable
    }
}
