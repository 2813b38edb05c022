//! The shape of a message.
//!
//! A message has up to [`MAX_WORDS`] words. The first [`REGISTER_WORDS`] travel in registers; word
//! `i` from there on lies at `i * 8` of the thread's message page. Slots of capabilities that are
//! sent, and the places for received ones, lie behind the words.

use bitfield_struct::bitfield;

/// The most words of one message.
pub const MAX_WORDS: usize = 120;
/// Words that travel in registers.
pub const REGISTER_WORDS: usize = 6;
/// The most capabilities of one message.
pub const MAX_CAPS: usize = 4;
/// Index, in words of the message page, of the slot addresses of sent capabilities.
pub const SENT_SLOTS: usize = 120;
/// Index, in words of the message page, of the empty slots that received capabilities go to.
pub const RECEIVE_SLOTS: usize = 124;
/// The most bytes of a message that is a byte string.
pub const MAX_BYTES: usize = MAX_WORDS * 8;

/// Length, capabilities, kind and label of a message.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct MessageInfo {
    /// Words of the message, at most [`MAX_WORDS`].
    #[bits(7)]
    pub words: usize,
    /// Capabilities of the message, at most [`MAX_CAPS`].
    #[bits(3)]
    pub caps: usize,
    /// What a received message is, as [`DeliveryKind`]; not used in a sent one.
    #[bits(6)]
    pub kind: u8,
    /// A number that the two sides agreed on; of an exit, its class.
    pub label: u16,
}

crate::error::numbered! {
    /// What was received.
    pub enum DeliveryKind: u8 {
        /// A call of another thread.
        Call = 0,
        /// Bits of the notification that is bound to the thread; word 0 has them.
        Notification = 1,
        /// A fault of a thread; the label is a `FaultKind`.
        Fault = 2,
        /// An exit of a vCPU; the label is an `ExitClass`.
        Exit = 3,
        /// A device access of a vCPU, described by hardware or forwarded.
        Access = 4,
    }
}
