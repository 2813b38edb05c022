//! What a system and the service processor (SCLP) tell each other: control blocks (SCCB) and the
//! events in them, big-endian and without alignment.
//!
//! IBM does not publish them; Linux's and QEMU's headers stand in for that.
//!
//! ```text
//!  SCCB:  length (2)  function (1)  control (3)  response (2)  | data
//!  event: length (2)  type (1)  flags (1)  reserved (2)        | data
//!  masks: reserved (2)  bytes of a mask (2)  own: receive, send  the other side's: receive, send
//! ```

mod operator;
mod text;

pub use operator::{OPERATOR_HEADER, OPERATOR_TEXT, operator_event, operator_text};
pub use text::{LINE_HEADER, ascii, ascii_event, bytes_event, ebcdic, line_event};

/// Type of an event with a command that the operator typed.
pub const OPERATOR: u8 = 0x01;
/// Type of an event with lines of EBCDIC text.
pub const LINE: u8 = 0x02;
/// Type of an event with ASCII text.
pub const ASCII: u8 = 0x1a;
/// Bytes of a control block's header.
pub const BLOCK_HEADER: usize = 8;
/// Bytes of an event's header.
pub const EVENT_HEADER: usize = 6;
/// Bytes of the header and of what a control block with event masks has.
pub const MASK_BLOCK: usize = BLOCK_HEADER + 4 + 4 * 4;

/// Commands.
pub mod command {
    /// Reads what the machine is.
    pub const READ_INFORMATION: u32 = 0x0002_0001;
    /// The same, whatever was configured.
    pub const READ_INFORMATION_FORCED: u32 = 0x0012_0001;
    /// Reads what the CPUs are.
    pub const READ_CPU_INFORMATION: u32 = 0x0001_0001;
    /// Fetches events.
    pub const READ_EVENT_DATA: u32 = 0x0077_0005;
    /// Sends events.
    pub const WRITE_EVENT_DATA: u32 = 0x0076_0005;
    /// Says which events are exchanged.
    pub const WRITE_EVENT_MASK: u32 = 0x0078_0005;
}

/// Response codes; the second byte says what kind of answer it is.
pub mod response {
    /// Information was read.
    pub const READ: u16 = 0x0010;
    /// All was done.
    pub const DONE: u16 = 0x0020;
    /// The block crosses a boundary.
    pub const BOUNDARY: u16 = 0x0100;
    /// There is no such command.
    pub const INVALID_COMMAND: u16 = 0x01f0;
    /// There is no event to read.
    pub const NO_EVENT: u16 = 0x60f0;
    /// The function code is unknown.
    pub const INVALID_FUNCTION: u16 = 0x40f0;
    /// An event of a type that is not to be sent.
    pub const INVALID_EVENT: u16 = 0x70f0;
    /// Events are not read for this mask.
    pub const INVALID_SELECTION: u16 = 0x71f0;
    /// Event buffers do not fill the block.
    pub const INCONSISTENT_LENGTHS: u16 = 0x72f0;
    /// An event is malformed.
    pub const EVENT_SYNTAX: u16 = 0x73f0;
    /// The mask has no length that there is.
    pub const INVALID_MASK_LENGTH: u16 = 0x74f0;
    /// The block is too short for the answer.
    pub const TOO_SHORT: u16 = 0x0300;
    /// The event does not fit into the block.
    pub const EVENT_TOO_LONG: u16 = 0x75f0;
}

/// Returns the bit of an event type in event masks of four bytes.
#[must_use]
pub const fn event_mask(kind: u8) -> u32 {
    match kind {
        1..=32 => 1 << (32 - kind as u32),
        _ => 0,
    }
}

/// Returns the header of a control block that has no answer yet.
#[must_use]
pub const fn block_header(length: u16) -> [u8; BLOCK_HEADER] {
    let [high, low] = length.to_be_bytes();
    [high, low, 0, 0, 0, 0, 0, 0]
}

/// Returns the control block that asks to receive and to send these events.
#[must_use]
pub fn mask_block(receive: u32, send: u32) -> [u8; MASK_BLOCK] {
    let mut block = [0; MASK_BLOCK];
    let (header, masks) = block.split_at_mut(BLOCK_HEADER);
    header.copy_from_slice(&block_header(MASK_BLOCK as u16));
    masks[2..4].copy_from_slice(&4_u16.to_be_bytes());
    masks[4..8].copy_from_slice(&receive.to_be_bytes());
    masks[8..12].copy_from_slice(&send.to_be_bytes());
    block
}

/// Returns the events that the other side takes, by its answer to a control block with masks.
#[must_use]
pub fn taken_events(block: &[u8]) -> u32 {
    let mask = block.get(MASK_BLOCK - 8..MASK_BLOCK - 4);
    mask.and_then(|mask| mask.try_into().ok())
        .map_or(0, u32::from_be_bytes)
}

/// One event of a control block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its type.
    pub kind: u8,
    /// What is behind its header.
    pub data: &'a [u8],
}

/// Returns the events of a control block's data; what is malformed ends them.
pub fn events(data: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut rest = data;
    core::iter::from_fn(move || {
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let (event, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(Event {
            kind: *event.get(2)?,
            data: event.get(EVENT_HEADER..)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{ASCII, Event, LINE, OPERATOR, event_mask, events, mask_block, taken_events};

    #[test]
    fn masks_count_types_from_the_first_bit() {
        assert_eq!(event_mask(OPERATOR), 0x8000_0000);
        assert_eq!(event_mask(LINE), 0x4000_0000);
        assert_eq!(event_mask(ASCII), 0x40);
        assert_eq!((event_mask(0), event_mask(33)), (0, 0));
    }

    #[test]
    fn a_block_of_masks_keeps_its_bytes() {
        let mut block = mask_block(0x8000_0040, 0x4000_0040);
        let expected = b"\0\x1c\0\0\0\0\0\0\0\0\0\x04\x80\0\0\x40\x40\0\0\x40\0\0\0\0\0\0\0\0";
        assert_eq!(block, *expected);
        block[20..24].copy_from_slice(&[0x40, 0, 0, 0x40]);
        assert_eq!(taken_events(&block), 0x4000_0040);
        assert_eq!(taken_events(&block[..20]), 0);
    }

    #[test]
    fn events_lie_behind_each_other_until_one_is_malformed() {
        let data = b"\0\x08\x1a\0\0\0ab\0\x06\x02\0\0\0\0\x09\x01\0\0\0";
        let found: [Event<'_>; 2] = [
            Event {
                kind: ASCII,
                data: b"ab",
            },
            Event {
                kind: LINE,
                data: b"",
            },
        ];
        assert!(events(data).eq(found));
        assert_eq!(events(b"\0\x05\x1a\0\0").count(), 0);
        assert_eq!(events(b"\0\0").count(), 0);
    }
}
