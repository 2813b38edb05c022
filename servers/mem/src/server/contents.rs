//! What is in frames: cleared or copied a piece at a time, in windows of the core that does it, so
//! that whoever does it can look after others in between.

use abi::{Error, Rights, SlotAddress};
use mem::Slot;
use rt::window::{LARGE_BYTES, LARGE_FIRST, Window};
use rt::{Capability, Frame, Space};

/// Words of a piece: 64 KiB.
const PIECE: usize = 8192;
/// Windows of a core: for what is read, and for what is written.
const WINDOWS: u64 = 2;

/// A frame that is mapped into a window of a core.
struct Open {
    frame: Slot,
    window: Window,
}

impl Open {
    /// Maps a frame to be read and written.
    fn new(core: u64, window: u64, frame: Slot) -> Result<Self, Error> {
        let rights = Rights::new().with_read(true).with_write(true);
        let space = Space::own(abi::boot::SLOT_SPACE);
        let address = LARGE_FIRST + (core * WINDOWS + window) * LARGE_BYTES;
        let window = Window::map(Frame::own(frame), space, address, rights)?;
        Ok(Self { frame, window })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Err(error) = Frame::own(self.frame).unmap() {
            rt::error!("a window was not closed: {}", error);
        }
    }
}

/// Returns a copy of a frame whose guest keeps it: for the mistake that a scenario has to notice.
fn copy_of(frame: Slot) -> Result<Slot, Error> {
    /// The last slot to be used.
    const SPARE: Slot = super::start::SLOTS.end - 1;
    let spare = Capability::own(SPARE);
    // The first time there is nothing in it.
    let _ = spare.delete();
    Capability::own(frame).copy(SlotAddress::own(SPARE))?;
    Ok(SPARE)
}

/// A frame that is being filled: with zeros, for it may have been somebody else's, or with what is in
/// another one.
pub struct Filling {
    from: Option<Open>,
    to: Open,
    /// Words that are done.
    done: usize,
}

impl Filling {
    /// Begins to clear a frame. A core fills one at a time.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn clear(core: u64, frame: Slot) -> Result<Self, Error> {
        Ok(Self {
            from: None,
            to: Open::new(core, 0, frame)?,
            done: 0,
        })
    }

    /// Begins to copy what is in a frame to another one.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn copy(core: u64, from: Slot, to: Slot) -> Result<Self, Error> {
        let filling = Self::clear(core, to)?;
        let from = if cfg!(feature = "copies-before-unmapping") {
            copy_of(from)?
        } else {
            from
        };
        Ok(Self {
            from: Some(Open::new(core, 1, from)?),
            ..filling
        })
    }

    /// Fills one piece; returns whether there is more.
    pub fn go_on(&mut self) -> bool {
        let target = self.to.window;
        let end = (self.done + PIECE).min(target.words());
        let piece = self.done..end;
        match &self.from {
            None => piece.for_each(|index| target.store(index, 0)),
            Some(_) if cfg!(feature = "moves-without-copy") => {}
            Some(from) => piece.for_each(|index| target.store(index, from.window.load(index))),
        }
        self.done = end;
        end < target.words()
    }
}
