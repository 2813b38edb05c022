//! What is known of one frame.

use bitfield_struct::{bitenum, bitfield};

/// What a frame is.
#[bitenum]
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No memory that this server owns: a hole in a section.
    #[fallback]
    Absent = 0,
    /// Memory: free, or a folio's but not its first frame. The tree of free frames tells.
    Plain = 1,
    /// The first frame of a folio in use.
    Head = 2,
}

/// A frame's descriptor: 8 bytes of every 4096, 0.2 %. What is said of a folio is said in that of
/// its first frame.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    #[bits(2)]
    pub state: State,
    /// Of a folio: base-two logarithm of its frames.
    #[bits(5)]
    pub order: u8,
    /// Of a folio: whether its contents may be moved to other frames.
    pub movable: bool,
    /// Of a folio: it was written to by somebody who had it pinned.
    pub dirty: bool,
    /// Of a folio: a contiguous request is taking it away.
    pub leaving: bool,
    /// Of a folio: one of its frames is poisoned.
    pub damaged: bool,
    /// Of a frame: its memory is defect.
    pub poisoned: bool,
    /// The pool that it belongs to.
    #[bits(8)]
    pub pool: u8,
    /// Of a folio: in how many spaces it is mapped.
    #[bits(8)]
    pub mappings: u16,
    /// Of a folio: how often frames of it are pinned, for devices; the largest folio whole, and more.
    #[bits(20)]
    pub pins: u32,
    /// Of a folio: whose it is.
    #[bits(16)]
    pub owner: u16,
}

impl Descriptor {
    /// Returns whether this is a folio of an owner that nobody keeps from being freed, in one block.
    #[inline]
    pub const fn is_still_and_whole(self, owner: u16) -> bool {
        /// What tells nothing of that.
        const ANY: u64 = Descriptor::new()
            .with_order(0x1f)
            .with_movable(true)
            .with_dirty(true)
            .with_poisoned(true)
            .with_pool(u8::MAX)
            .into_bits();
        let still = Self::new().with_state(State::Head).with_owner(owner);
        self.into_bits() & !ANY == still.into_bits()
    }

    /// Returns that of a frame of memory about which there is nothing to say.
    #[inline]
    pub const fn plain(self) -> Self {
        Self::new()
            .with_state(State::Plain)
            .with_pool(self.pool())
            .with_poisoned(self.poisoned())
    }
}
