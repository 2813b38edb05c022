//! High-water marks of stacks.
//!
//! Who gives a thread its stack fills it with [`PAINT`] first. What is still painted, counted from
//! the lowest address up, was never used.

use abi::boot::{STACK_SIZE, STACK_TOP};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What every word of a stack is before its thread runs.
pub const PAINT: u64 = 0x5354_4143_4b5f_4f4b;
/// Bytes below a local variable that the function that has it may use itself.
#[cfg(target_os = "none")]
const OWN_FRAME: u64 = 1024;

/// How much of a stack was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Bytes that were used, at most.
    pub used: u64,
    /// Bytes of the stack.
    pub size: u64,
}

impl Mark {
    /// Returns the mark of a stack with these words, from its lowest address up.
    #[must_use]
    pub fn of_words(words: impl ExactSizeIterator<Item = u64>) -> Self {
        let size = words.len() as u64 * 8;
        let painted = words.take_while(|word| *word == PAINT).count() as u64 * 8;
        Self {
            used: size - painted,
            size,
        }
    }

    /// Returns the one of which the larger part was used.
    #[must_use]
    pub const fn fuller(self, other: Self) -> Self {
        if other.used * self.size > self.used * other.size {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "used {} of {}", self.used, self.size)
    }
}

/// Writes the line of `docs/tools.md` to the log: `check stack` reads it.
pub fn report(name: &str, mark: Mark) {
    crate::log!("skerry: stack {name} {mark}");
}

/// Returns the words of the stack from `bottom` to `top`.
///
/// # Safety
///
/// 1. `bottom` and `top` are multiples of 8, and what is between them is memory of one stack, mapped
///    for as long as the process lives.
unsafe fn words(bottom: u64, top: u64) -> impl ExactSizeIterator<Item = &'static AtomicU64> {
    let count = usize::try_from(top.saturating_sub(bottom) / 8).unwrap_or(0);
    (0..count).map(move |index| {
        // SAFETY: the caller vouches for the memory (1). Its thread may write it at the same time;
        // whatever word is read then, it is one, and it only moves the mark.
        unsafe { &*((bottom + index as u64 * 8) as *const AtomicU64) }
    })
}

/// Paints the stack from `bottom` to `top`, which no thread uses yet.
///
/// # Safety
///
/// 1. As for [`words`], and nobody has a value there.
pub(crate) unsafe fn paint(bottom: u64, top: u64) {
    // SAFETY: the caller vouches for the memory (1).
    unsafe { words(bottom, top) }.for_each(|word| word.store(PAINT, Relaxed));
}

/// Returns the mark of the painted stack from `bottom` to `top`.
///
/// # Safety
///
/// 1. As for [`words`].
pub(crate) unsafe fn measure(bottom: u64, top: u64) -> Mark {
    // SAFETY: the caller vouches for the memory (1).
    Mark::of_words(unsafe { words(bottom, top) }.map(|word| word.load(Relaxed)))
}

/// Paints what the first thread of the first process has not used of its stack yet; for every other
/// process, its creator did.
#[cfg(target_os = "none")]
pub(crate) fn paint_first() {
    let here = 0_u64;
    let end = (&raw const here as u64).saturating_sub(OWN_FRAME) & !7;
    if crate::boot::info().is_some() {
        // SAFETY: the kernel mapped the stack there for good, and below the frame of this function
        // and of those that it calls, which are less than `OWN_FRAME` bytes, nobody has a value.
        unsafe { paint(STACK_TOP - STACK_SIZE, end) };
    }
}

/// Returns the mark of the first thread of the first process; `None` in any other process.
#[must_use]
pub fn of_first() -> Option<Mark> {
    crate::boot::info()?;
    // SAFETY: the kernel mapped the first process's stack there for good.
    Some(unsafe { measure(STACK_TOP - STACK_SIZE, STACK_TOP) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_written_is_not_used() {
        let mut words = [PAINT; 64];
        let mark = |words: [u64; 64]| Mark::of_words(words.into_iter());
        assert_eq!(mark(words), Mark { used: 0, size: 512 });
        words[40] = 0;
        words[50] = 7;
        assert_eq!(mark(words).used, 24 * 8, "painted words above do not count");
        words[0] = 1;
        assert_eq!(mark(words).used, 512);
    }

    #[test]
    fn the_fuller_stack_is_the_one_with_the_larger_part_used() {
        let small = Mark { used: 60, size: 64 };
        let large = Mark {
            used: 100,
            size: 4096,
        };
        assert_eq!(small.fuller(large), small);
        assert_eq!(large.fuller(small), small);
    }

    #[test]
    fn a_stack_in_memory_is_painted_and_measured() {
        let stack = Vec::leak(vec![0_u64; 128]);
        let bottom = stack.as_ptr() as u64;
        let top = bottom + 1024;
        // SAFETY: the memory is leaked, and nobody else has a reference to it.
        unsafe { paint(bottom, top) };
        // SAFETY: as above; the word is inside.
        unsafe { *((top - 16) as *mut u64) = 1 };
        // SAFETY: as above.
        let mark = unsafe { measure(bottom, top) };
        assert_eq!(
            mark,
            Mark {
                used: 16,
                size: 1024
            }
        );
        assert_eq!(mark.to_string(), "used 16 of 1024");
    }
}
