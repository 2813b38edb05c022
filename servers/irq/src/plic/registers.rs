//! The controller's registers (specification, section 3).

use super::{LineChanges, MAX_PRIORITY, Plic, existing};

/// Bytes of address space that the registers take, enough for 64 contexts.
pub const MEMORY_BYTES: u64 = 0x40_0000;

/// Priorities, one word per source.
const PRIORITY: u64 = 0;
/// Pending bits.
const PENDING: u64 = 0x1000;
/// Enable bits, a block per context.
const ENABLE: u64 = 0x2000;
/// Bytes of one block of enable bits.
const ENABLE_BYTES: u64 = 0x80;
/// Threshold and claim, a page per context.
const CONTEXT: u64 = 0x20_0000;
/// Bytes of one context's page.
const CONTEXT_BYTES: u64 = 0x1000;

/// Why an access was refused; it had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// Not four bytes.
    Size,
    /// Not a multiple of four.
    Misaligned,
    /// Behind [`MEMORY_BYTES`].
    OutOfRange,
}

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    /// Priority of a source.
    Priority(usize),
    /// A word of pending bits.
    Pending(u32),
    /// A word of a context's enable bits.
    Enable(usize, u32),
    /// Threshold of a context.
    Threshold(usize),
    /// Claim and completion of a context.
    Claim(usize),
    /// Nothing there: reads as zero.
    Reserved,
}

impl Register {
    /// Returns the register at an offset that is a multiple of four.
    fn at(offset: u64) -> Self {
        let word = |start: u64| (offset - start) / 4;
        match offset {
            PRIORITY..PENDING => Self::Priority(word(PRIORITY) as usize),
            PENDING..ENABLE => Self::Pending(word(PENDING) as u32),
            ENABLE..CONTEXT => {
                let context = (offset - ENABLE) / ENABLE_BYTES;
                Self::Enable(context as usize, (word(ENABLE) % (ENABLE_BYTES / 4)) as u32)
            }
            _ => {
                let context = ((offset - CONTEXT) / CONTEXT_BYTES) as usize;
                match (offset - CONTEXT) % CONTEXT_BYTES {
                    0 => Self::Threshold(context),
                    4 => Self::Claim(context),
                    _ => Self::Reserved,
                }
            }
        }
    }
}

/// Returns word `index` of a set of sources; words beyond the last are zero.
const fn word_of(bits: u128, index: u32) -> u32 {
    if index < 4 {
        (bits >> (index * 32)) as u32
    } else {
        0
    }
}

/// Returns the set with word `index` replaced.
const fn with_word(bits: u128, index: u32, word: u32) -> u128 {
    if index >= 4 {
        return bits;
    }
    bits & !((u32::MAX as u128) << (index * 32)) | (word as u128) << (index * 32)
}

impl Plic {
    /// Reads a register; reading a claim register claims.
    ///
    /// # Errors
    ///
    /// [`AccessError`] unless it is an aligned access of four bytes.
    pub fn read(&mut self, offset: u64, size: u64) -> Result<(u32, LineChanges), AccessError> {
        let register = locate(offset, size)?;
        let value = match register {
            Register::Priority(source) => self.priority.get(source).map_or(0, |&p| p.into()),
            Register::Pending(word) => word_of(self.pending, word),
            Register::Enable(context, word) => self
                .contexts
                .get(context)
                .map_or(0, |context| word_of(context.enable, word)),
            Register::Threshold(context) => self
                .contexts
                .get(context)
                .map_or(0, |context| context.threshold.into()),
            Register::Claim(context) if context < self.contexts() => {
                let (source, changes) = self.claim(context);
                return Ok((source.into(), changes));
            }
            Register::Claim(_) | Register::Reserved => 0,
        };
        Ok((value, LineChanges::default()))
    }

    /// Writes a register; writing a claim register completes. Registers of sources and contexts
    /// that do not exist ignore writes, as do pending bits.
    ///
    /// # Errors
    ///
    /// [`AccessError`] unless it is an aligned access of four bytes.
    pub fn write(
        &mut self,
        offset: u64,
        size: u64,
        value: u32,
    ) -> Result<LineChanges, AccessError> {
        let (sources, contexts) = (usize::from(self.sources), self.contexts());
        let low = value as u8 & MAX_PRIORITY;
        match locate(offset, size)? {
            Register::Priority(source) if (1..=sources).contains(&source) => {
                if let Some(priority) = self.priority.get_mut(source) {
                    *priority = low;
                }
            }
            Register::Enable(context, word) if context < contexts => {
                let existing = existing(self.sources);
                if let Some(context) = self.contexts.get_mut(context) {
                    context.enable = with_word(context.enable, word, value) & existing;
                }
            }
            Register::Threshold(context) if context < contexts => {
                if let Some(context) = self.contexts.get_mut(context) {
                    context.threshold = low;
                }
            }
            Register::Claim(context) if context < contexts => {
                return Ok(self.complete(context, value));
            }
            Register::Priority(_)
            | Register::Pending(_)
            | Register::Enable(..)
            | Register::Threshold(_)
            | Register::Claim(_)
            | Register::Reserved => {}
        }
        Ok(self.settle())
    }
}

/// Returns the register that an access meets.
fn locate(offset: u64, size: u64) -> Result<Register, AccessError> {
    if size != 4 {
        return Err(AccessError::Size);
    }
    if !offset.is_multiple_of(4) {
        return Err(AccessError::Misaligned);
    }
    if offset >= MEMORY_BYTES {
        return Err(AccessError::OutOfRange);
    }
    Ok(Register::at(offset))
}
