//! Messages: the six words in registers, and the rest in the thread's message page.

use crate::sys;
use abi::message::{MAX_CAPS, MAX_WORDS, RECEIVE_SLOTS, REGISTER_WORDS, SENT_SLOTS};
use abi::{DeliveryKind, MessageInfo, PAGE_SIZE, SlotAddress};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words of a message page.
const PAGE_WORDS: usize = (PAGE_SIZE / 8) as usize;

/// Returns the words of the running thread's message page, or `None` where it has none.
fn page() -> Option<&'static [AtomicU64; PAGE_WORDS]> {
    let address = sys::block().message_page();
    if address == 0 {
        return None;
    }
    // SAFETY: who described the thread mapped its message page there for as long as the thread
    // lives; no Rust object but these atomics is in it, for the kernel writes it too.
    Some(unsafe { &*(address as *const [AtomicU64; PAGE_WORDS]) })
}

/// Sets word `index` of the message page; where there is no page, the kernel will refuse the call.
fn set_word(index: usize, value: u64) {
    if let Some(word) = page().and_then(|page| page.get(index)) {
        word.store(value, Relaxed);
    }
}

/// Returns word `index` of the message page, or 0.
fn word(index: usize) -> u64 {
    page()
        .and_then(|page| page.get(index))
        .map_or(0, |word| word.load(Relaxed))
}

/// Puts bytes into the message page, in the order of memory; what does not fit is left out.
pub(crate) fn store_bytes(bytes: &[u8]) {
    for (index, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        set_word(index, u64::from_ne_bytes(word));
    }
}

/// Copies the first bytes of the message page to `bytes`, in the order of memory.
pub(crate) fn load_bytes(bytes: &mut [u8]) {
    for (index, chunk) in bytes.chunks_mut(8).enumerate() {
        for (to, from) in chunk.iter_mut().zip(word(index).to_ne_bytes()) {
            *to = from;
        }
    }
}

/// Names the empty slots that received capabilities go to, at most four.
pub fn set_receive_slots(slots: &[SlotAddress]) {
    for (index, slot) in slots.iter().take(MAX_CAPS).enumerate() {
        set_word(RECEIVE_SLOTS + index, slot.into_bits());
    }
}

/// A message to be sent, or a reply. Words behind the sixth and capabilities lie in the thread's
/// message page already: send it before anything is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Length, capabilities and label.
    pub info: MessageInfo,
    /// The words that travel in registers.
    pub words: [u64; REGISTER_WORDS],
}

impl Outgoing {
    /// Returns a message without words.
    #[must_use]
    pub const fn new(label: u16) -> Self {
        Self {
            info: MessageInfo::new().with_label(label),
            words: [0; REGISTER_WORDS],
        }
    }

    /// Returns the message with these words, of which it takes at most 120.
    #[must_use]
    pub fn with_words(mut self, words: &[u64]) -> Self {
        let words = &words[..words.len().min(MAX_WORDS)];
        let short = words.len().min(REGISTER_WORDS);
        self.words[..short].copy_from_slice(&words[..short]);
        for (index, word) in words.iter().enumerate().skip(REGISTER_WORDS) {
            set_word(index, *word);
        }
        self.info.set_words(words.len());
        self
    }

    /// Returns the message with these capabilities, of which it takes at most four.
    #[must_use]
    pub fn with_capabilities(mut self, slots: &[SlotAddress]) -> Self {
        let slots = &slots[..slots.len().min(MAX_CAPS)];
        for (index, slot) in slots.iter().enumerate() {
            set_word(SENT_SLOTS + index, slot.into_bits());
        }
        self.info.set_caps(slots.len());
        self
    }
}

/// A message that was received, or the reply to a call. Its words behind the sixth are in the
/// thread's message page until the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Length, arrived capabilities, kind and label.
    pub info: MessageInfo,
    /// The words that travel in registers; those behind `info.words()` are 0.
    pub words: [u64; REGISTER_WORDS],
    /// Badge of the endpoint capability that the sender used.
    pub badge: u64,
    /// Sequence number of an exit or access.
    pub sequence: u64,
}

impl Incoming {
    /// Returns what the registers of a call hold.
    #[must_use]
    pub(crate) fn from_results(results: &sys::Results) -> Self {
        let [_, a, b, c, d, e, f, badge, sequence] = results.x;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the upper half is not defined"
        )]
        let info = MessageInfo::from_bits(results.word as u32);
        Self {
            info,
            words: [a, b, c, d, e, f],
            badge,
            sequence,
        }
    }

    /// Returns what was received, or `None` for a kind that this program does not know.
    #[must_use]
    pub fn kind(&self) -> Option<DeliveryKind> {
        DeliveryKind::from_number(u64::from(self.info.kind()))
    }

    /// Returns the vCPU of an exit or access, by the badge that init gives its routes.
    #[must_use]
    pub fn vcpu(&self) -> usize {
        usize::try_from(self.badge & u64::from(u32::MAX)).unwrap_or(usize::MAX)
    }

    /// Returns the label.
    #[must_use]
    pub const fn label(&self) -> u16 {
        self.info.label()
    }

    /// Writes all words to `buffer` and returns them.
    pub fn copy_words<'a>(&self, buffer: &'a mut [u64; MAX_WORDS]) -> &'a [u64] {
        let count = self.info.words().min(MAX_WORDS);
        let short = count.min(REGISTER_WORDS);
        buffer[..short].copy_from_slice(&self.words[..short]);
        for (index, place) in buffer[..count].iter_mut().enumerate().skip(REGISTER_WORDS) {
            *place = word(index);
        }
        &buffer[..count]
    }
}
