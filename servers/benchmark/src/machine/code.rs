//! Instructions being put together.

/// Bytes of the longest program.
pub const BYTES: usize = 128;

/// Instructions so far.
pub struct Code {
    bytes: [u8; BYTES],
    length: usize,
}

impl Code {
    /// Returns no instructions.
    pub const fn new() -> Self {
        Self {
            bytes: [0; BYTES],
            length: 0,
        }
    }

    /// Adds bytes of instructions.
    pub fn add(mut self, bytes: &[u8]) -> Self {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
        self
    }

    /// Returns where the next instruction will be.
    pub const fn here(&self) -> usize {
        self.length
    }

    /// Returns how far a place is from the next instruction.
    pub fn distance(&self, place: usize) -> i32 {
        place as i32 - self.length as i32
    }

    /// Returns the bytes.
    pub const fn finish(self) -> [u8; BYTES] {
        self.bytes
    }
}
