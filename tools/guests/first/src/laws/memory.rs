//! All memory that nobody uses is there, and each word is another one.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::machine::{Machine, This};
use crate::report::{Law, Verdict, hold};

/// The laws.
pub const LAWS: [Law; 1] = [Law {
    name: "every_word_keeps_what_was_written",
    check: every_word,
}];

/// Returns what a word gets in a pass: its address, and the opposite of it.
fn pattern(word: &AtomicU64, pass: u64) -> u64 {
    (core::ptr::from_ref(word).addr() as u64) ^ 0_u64.wrapping_sub(pass) ^ 0x5a
}

/// Writes all memory and reads it back, twice; returns how many words there are.
fn every_word() -> Verdict {
    let mut words = 0;
    for pass in 0..2 {
        words = 0;
        This::for_each_memory(&mut |memory| {
            words += memory.len() as u64;
            for word in memory {
                word.store(pattern(word, pass), Relaxed);
            }
        });
        let mut verdict = Ok(words);
        This::for_each_memory(&mut |memory| {
            let wrong = memory
                .iter()
                .find(|word| word.load(Relaxed) != pattern(word, pass));
            if let Some(word) = wrong {
                let (expected, found) = (pattern(word, pass), word.load(Relaxed));
                verdict = hold(false, "a word changed", expected, found);
            }
        });
        verdict?;
    }
    hold(
        words > 1 << 16,
        "there is hardly any memory",
        1 << 16,
        words,
    )?;
    Ok(words)
}
