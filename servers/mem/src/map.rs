//! The frame descriptors, in sections.

use crate::descriptor::{Descriptor, State};
use crate::extent::Extent;
use crate::geometry::{FrameNumber, Geometry};
use crate::refusal::Refusal;
use alloc::vec::Vec;

/// Memory that the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its first frame.
    pub first: FrameNumber,
    /// How many frames.
    pub frames: u64,
    /// The NUMA node that it belongs to.
    pub node: u8,
}

impl Memory {
    /// Returns the number behind its last frame.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`].
    pub(crate) fn end(&self) -> Result<u64, Refusal> {
        let last = self.frames.checked_sub(1).ok_or(Refusal::ZeroLength)?;
        let last = self.first.number().checked_add(last);
        let last = last.and_then(FrameNumber::new).ok_or(Refusal::Overflow)?;
        Ok(last.number() + 1)
    }
}

/// Where the descriptors of a section are.
#[derive(Clone, Copy, Debug)]
struct Section {
    /// What is added to the number of a frame, wrapping, for the index of its descriptor; with
    /// [`ABSENT`] there is none.
    offset: u64,
}

/// The section has no memory: no frame has a number with which this is an index.
const ABSENT: u64 = 1 << 63;

/// All frame descriptors.
#[derive(Clone, Debug)]
pub struct FrameMap {
    geometry: Geometry,
    /// Number of the first section of `sections`.
    first_section: u64,
    sections: Vec<Section>,
    descriptors: Vec<Descriptor>,
    memory: Vec<Memory>,
}

impl FrameMap {
    /// Makes a map without memory.
    #[must_use]
    pub const fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            first_section: 0,
            sections: Vec::new(),
            descriptors: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// Makes room for the descriptors of memory that will be added.
    pub fn reserve(&mut self, memory: &[Memory]) {
        let shift = self.geometry.section_shift;
        let mut sections: Vec<u64> = memory
            .iter()
            .filter_map(|memory| Some((memory.first.number() >> shift, memory.end().ok()? - 1)))
            .flat_map(|(first, last)| first..=last >> shift)
            .collect();
        sections.sort_unstable();
        sections.dedup();
        self.descriptors.reserve(sections.len() << shift);
    }

    /// Describes memory of a pool. Sections that have no descriptors yet get them behind all others,
    /// as they come: those of neighbours need not be neighbours.
    ///
    /// # Errors
    ///
    /// [`Refusal::ZeroLength`], [`Refusal::Overflow`], [`Refusal::Overlap`] with what is described
    /// already.
    pub fn add(&mut self, memory: Memory, pool: u8) -> Result<(), Refusal> {
        let end = memory.end()?;
        let first = memory.first.number();
        let overlaps = |other: &&Memory| {
            let start = other.first.number();
            start < end && first < start + other.frames
        };
        if let Some(other) = self.memory.iter().find(overlaps) {
            let at = other.first.max(memory.first);
            return Err(Refusal::Overlap { at });
        }
        let shift = self.geometry.section_shift;
        self.add_sections(first >> shift, (end - 1) >> shift)?;
        let place = self
            .memory
            .partition_point(|other| other.first < memory.first);
        self.memory.insert(place, memory);
        for index in 0..memory.frames {
            let plain = Descriptor::new().with_pool(pool).plain();
            self.set(memory.first.plus(index), plain);
        }
        Ok(())
    }

    /// Gives the sections `first..=last` descriptors, where they have none.
    fn add_sections(&mut self, first: u64, last: u64) -> Result<(), Refusal> {
        let start = if self.sections.is_empty() {
            first
        } else {
            first.min(self.first_section)
        };
        let end = (last + 1).max(self.first_section + self.sections.len() as u64);
        let count = usize::try_from(end - start).map_err(|_| Refusal::Overflow)?;
        let size = 1_usize << self.geometry.section_shift;
        let absent = Section { offset: ABSENT };
        let mut sections = alloc::vec![absent; count];
        if !self.sections.is_empty() {
            let shift = (self.first_section - start) as usize;
            sections[shift..shift + self.sections.len()].copy_from_slice(&self.sections);
        }
        let mut length = self.descriptors.len();
        let range = (first - start) as usize..=(last - start) as usize;
        let numbers = first << self.geometry.section_shift..;
        let first_frames = numbers.step_by(size);
        for (section, first_frame) in sections[range].iter_mut().zip(first_frames) {
            if section.offset == ABSENT {
                section.offset = (length as u64).wrapping_sub(first_frame);
                length += size;
            }
        }
        self.first_section = start;
        self.sections = sections;
        self.descriptors.resize(length, Descriptor::new());
        Ok(())
    }

    /// Returns how sections are.
    #[inline]
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the memory that is described, by rising frame.
    #[must_use]
    pub fn memory(&self) -> &[Memory] {
        &self.memory
    }

    /// Returns the bytes that the descriptors take.
    #[must_use]
    pub fn footprint(&self) -> usize {
        size_of_val(self.descriptors.as_slice()) + size_of_val(self.sections.as_slice())
    }

    /// Returns the node of a frame, if that is memory.
    #[must_use]
    pub fn node_of(&self, frame: FrameNumber) -> Option<u8> {
        let memory = self.memory.iter();
        let mut holds = memory
            .filter(|memory| frame.number().wrapping_sub(memory.first.number()) < memory.frames);
        holds.next().map(|memory| memory.node)
    }

    /// Returns where the descriptor of a frame is.
    #[inline]
    fn index(&self, frame: FrameNumber) -> Option<usize> {
        let section = self
            .geometry
            .section_of(frame)
            .wrapping_sub(self.first_section);
        let section = self.sections.get(usize::try_from(section).ok()?)?;
        let index = frame.number().wrapping_add(section.offset);
        usize::try_from(index)
            .ok()
            .filter(|&index| index < self.descriptors.len())
    }

    /// Returns a frame's descriptor; one of an absent frame where there is none.
    #[inline]
    #[must_use]
    pub fn get(&self, frame: FrameNumber) -> Descriptor {
        let descriptor = self
            .index(frame)
            .and_then(|index| self.descriptors.get(index));
        descriptor.copied().unwrap_or_default()
    }

    /// Returns the place of a frame's descriptor, where it has one.
    #[inline]
    pub(crate) fn place(&mut self, frame: FrameNumber) -> Option<&mut Descriptor> {
        let index = self.index(frame)?;
        self.descriptors.get_mut(index)
    }

    /// Writes a frame's descriptor, where it has one.
    #[inline]
    pub(crate) fn set(&mut self, frame: FrameNumber, descriptor: Descriptor) {
        if let Some(place) = self.place(frame) {
            *place = descriptor;
        }
    }

    /// Checks that the frames from `first` on are memory with contiguous descriptors: looks once at
    /// the start of each section.
    ///
    /// # Errors
    ///
    /// [`Refusal::NonContiguous`] with the first frame whose descriptor does not follow.
    pub fn check_contiguous(&self, first: FrameNumber, frames: u64) -> Result<(), Refusal> {
        if self.geometry.vmemmap {
            return Ok(());
        }
        let base = self
            .index(first)
            .ok_or(Refusal::NonContiguous { first_bad: first })?;
        let mut offset = self.geometry.section_frames()
            - (first.number() & (self.geometry.section_frames() - 1));
        while offset < frames {
            let start = first.plus(offset);
            if self.index(start) != Some(base + offset as usize) {
                return Err(Refusal::NonContiguous { first_bad: start });
            }
            offset += self.geometry.section_frames();
        }
        Ok(())
    }

    /// Checks that frames are memory, without a hole and all of one node.
    ///
    /// # Errors
    ///
    /// [`Refusal::OutsideMemory`] with the first frame that is not.
    pub fn check_present(&self, first: FrameNumber, frames: u64) -> Result<(), Refusal> {
        let outside = |number| Refusal::OutsideMemory {
            first_bad: FrameNumber::new(number).unwrap_or(first),
        };
        let mut number = first.number();
        let end = number.checked_add(frames).ok_or(Refusal::Overflow)?;
        let node = self.node_of(first).ok_or_else(|| outside(number))?;
        for memory in self.memory.iter().filter(|memory| memory.node == node) {
            let first = memory.first.number();
            if (first..first + memory.frames).contains(&number) {
                number = first + memory.frames;
            }
        }
        if number >= end {
            Ok(())
        } else {
            Err(outside(number))
        }
    }

    /// Returns the folio in use that a frame lies in.
    #[must_use]
    pub fn folio_of(&self, frame: FrameNumber) -> Option<(Extent, Descriptor)> {
        for order in 0..=self.geometry.max_order() {
            let base = FrameNumber::new(frame.number() >> order << order)?;
            let descriptor = self.get(base);
            if descriptor.state() == State::Head {
                let is_in = frame.number() - base.number() < 1 << descriptor.order();
                let node = self.node_of(base)?;
                return is_in.then(|| {
                    (
                        Extent::block(self, base, descriptor.order(), node),
                        descriptor,
                    )
                });
            }
        }
        None
    }
}
