//! Memory that the creator mapped and named in the grants page (`docs/processes.md`).
//!
//! Read-only bytes come as a pair of grants, `NAME` and `NAME-bytes`. Pages that others write too
//! are reached word by word; their names are `PAGES`.

use crate::grant::grant;
use abi::PAGE_SIZE;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Names of grants whose value is the address of a shared page; with a dot at the end: prefixes.
const PAGES: [&str; 3] = ["report", "registers.", "ring."];
/// Words of a page.
const WORDS: usize = (PAGE_SIZE / 8) as usize;

/// A page that is shared with others. Words are read and written one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedPage {
    address: u64,
}

impl SharedPage {
    /// Returns the shared page that this grant names, or `None` where there is none.
    #[must_use]
    pub fn granted(name: &str) -> Option<Self> {
        PAGES.into_iter().find(|page| is_named(page, name))?;
        let address = grant(name)?.value;
        (address != 0 && address.is_multiple_of(PAGE_SIZE)).then_some(Self { address })
    }

    /// Returns word `index`.
    fn word(self, index: usize) -> Option<&'static AtomicU64> {
        let offset = (index < WORDS).then_some(index as u64 * 8)?;
        // SAFETY: the creator mapped a page there, readable and writable for as long as the process
        // lives, where no Rust object lies; should it be gone, the access stops the thread.
        Some(unsafe { &*((self.address + offset) as *const AtomicU64) })
    }

    /// Returns the value of word `index`, or 0 behind the end.
    #[must_use]
    pub fn load(self, index: usize) -> u64 {
        self.word(index).map_or(0, |word| word.load(Relaxed))
    }

    /// Sets word `index`; behind the end nothing happens.
    pub fn store(self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Relaxed);
        }
    }
}

/// Returns whether `name` is that of `page`, or begins with it where it ends in a dot.
fn is_named(page: &str, name: &str) -> bool {
    name == page || page.ends_with('.') && name.starts_with(page)
}

/// Returns the read-only bytes that the grants `name` and `size_name` describe: address and length.
///
/// By the contract `size_name` is `name` with `-bytes` behind it; any other is `None`.
#[must_use]
pub fn bytes(name: &str, size_name: &str) -> Option<&'static [u8]> {
    if size_name.strip_suffix("-bytes") != Some(name) {
        return None;
    }
    let (address, length) = (grant(name)?.value, grant(size_name)?.value);
    let length = usize::try_from(length).ok()?;
    if address == 0 || isize::try_from(length).is_err() {
        return None;
    }
    // SAFETY: the creator mapped that many initialised bytes there, which nobody writes for as long
    // as the process lives.
    Some(unsafe { core::slice::from_raw_parts(address as *const u8, length) })
}

#[cfg(test)]
mod tests {
    use super::{PAGES, bytes, is_named};

    #[test]
    fn only_what_the_contract_calls_a_page_is_one() {
        let is_page = |name| PAGES.iter().any(|page| is_named(page, name));
        assert!(is_page("report") && is_page("registers.0") && is_page("ring.12"));
        assert!(!is_page("reporter") && !is_page("registers") && !is_page("ticks"));
    }

    #[test]
    fn bytes_have_their_own_length() {
        assert_eq!(bytes("kernel", "initrd-bytes"), None);
        assert_eq!(bytes("kernel", "kernel"), None);
    }
}
