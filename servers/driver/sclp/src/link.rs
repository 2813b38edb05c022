//! What is asked of the service processor, and what its answers mean; pure.

use api::line_mode::{self, LINE_CHARACTERS};
use api::ring::Ends;
use heapless::{Deque, Vec};
use s390_regs::sclp::{
    ASCII, BLOCK_HEADER, EVENT_HEADER, LINE, LINE_HEADER, OPERATOR, block_header, bytes_event,
    command, event_mask, events, line_event, mask_block, operator_text, response, taken_events,
};

/// Bytes of the control blocks that are used: QEMU reads events into whole ones only.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes that one event sends to a terminal.
const PIECE_BYTES: usize = 1024;
/// How often the same call is made where the service processor cannot do it.
const TRIES: u8 = 3;
/// Keys that wait for room in the ring: as many as one block brings.
const TYPED_BYTES: usize = BLOCK_BYTES;

/// The most characters of a typed line.
const TYPED_LINE: usize = 512;

const _: () = assert!(BLOCK_HEADER + LINE_HEADER + LINE_CHARACTERS <= BLOCK_BYTES);
const _: () = assert!(BLOCK_HEADER + EVENT_HEADER + PIECE_BYTES <= BLOCK_BYTES);

/// What kind of console the service processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// A terminal.
    Ascii,
    /// A console of lines.
    Lines,
}

/// A call to make: the first bytes of the block are what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The command.
    pub command: u32,
    /// Bytes of the block.
    pub length: usize,
}

/// A call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Says which events are exchanged.
    Masks,
    /// Fetches events.
    Read,
    /// Sends this many bytes of the ring.
    Write(usize),
}

/// How far the exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The service processor was not asked yet what it has.
    New,
    /// It has no console.
    Deaf,
    /// It has one.
    Open(Console),
}

/// The connection between the console's ring and the service processor.
#[derive(Debug)]
pub struct Link<'a> {
    ring: Ends<'a>,
    stage: Stage,
    call: Option<Call>,
    /// Calls of the same kind that failed in a row.
    failures: u8,
    /// Events may wait to be read.
    is_signalled: bool,
    typed: Deque<u8, TYPED_BYTES>,
    bell: bool,
}

impl<'a> Link<'a> {
    /// Returns the link of a service processor that was not asked anything yet.
    #[must_use]
    pub const fn new(ring: Ends<'a>) -> Self {
        Self {
            ring,
            stage: Stage::New,
            call: None,
            failures: 0,
            is_signalled: true,
            typed: Deque::new(),
            bell: false,
        }
    }

    /// Returns whether a call is under way.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.call.is_some()
    }

    /// Returns whether the service processor has no console.
    #[must_use]
    pub const fn is_deaf(&self) -> bool {
        matches!(self.stage, Stage::Deaf)
    }

    /// Returns whether there is output that [`Link::next`] does not show before it is quiet.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.call.is_none() && self.ring.input.waiting() > 0
    }

    /// Returns whether the console is to be signalled.
    pub fn take_bell(&mut self) -> bool {
        let notice = self.ring.input.take_notice();
        core::mem::take(&mut self.bell) || notice
    }

    /// Returns the call to make now, and fills its block. The line that the console has begun is shown
    /// only where `is_quiet`: nothing came for a while.
    pub fn next(&mut self, is_quiet: bool, block: &mut [u8; BLOCK_BYTES]) -> Option<Start> {
        if self.call.is_some() {
            return None;
        }
        let (call, start) = match self.stage {
            Stage::Deaf => return None,
            Stage::New => (Call::Masks, masks(block)),
            // Output comes first: it ends, for who writes waits for room.
            Stage::Open(console) => self
                .write(console, is_quiet, block)
                .or_else(|| self.read(block))?,
        };
        self.call = Some(call);
        Some(start)
    }

    /// Returns the call that sends what the console wrote.
    fn write(
        &mut self,
        console: Console,
        is_quiet: bool,
        block: &mut [u8; BLOCK_BYTES],
    ) -> Option<(Call, Start)> {
        let mut text = [0; PIECE_BYTES];
        let count = self.ring.input.peek(&mut text);
        let text = text.get(..count).filter(|text| !text.is_empty())?;
        let (header, event) = block.split_at_mut_checked(BLOCK_HEADER)?;
        let (taken, length) = match console {
            Console::Ascii => (count, bytes_event(text, event)),
            Console::Lines => {
                let mut line = [0; LINE_CHARACTERS];
                let made = line_mode::encode(text, is_quiet, &mut line)?;
                (made.taken, line_event(line.get(..made.length)?, event))
            }
        };
        let length = BLOCK_HEADER + length;
        header.copy_from_slice(&block_header(u16::try_from(length).ok()?));
        let command = command::WRITE_EVENT_DATA;
        Some((Call::Write(taken), Start { command, length }))
    }

    /// Returns the call that fetches events, where there may be some and there is room for them.
    fn read(&mut self, block: &mut [u8; BLOCK_BYTES]) -> Option<(Call, Start)> {
        self.deliver();
        if !self.is_signalled || !self.typed.is_empty() {
            return None;
        }
        self.is_signalled = false;
        block.fill(0);
        let header = block_header(BLOCK_BYTES as u16);
        block.get_mut(..BLOCK_HEADER)?.copy_from_slice(&header);
        // The answer is as long as it has to be.
        *block.get_mut(5)? = 0x80;
        let command = command::READ_EVENT_DATA;
        let length = BLOCK_BYTES;
        Some((Call::Read, Start { command, length }))
    }

    /// The service processor signalled and no call was answered: events wait.
    pub const fn signalled(&mut self) {
        self.is_signalled = true;
    }

    /// The call that [`Link::next`] returned could not be made.
    pub fn refused(&mut self) {
        if self.call.take() == Some(Call::Read) {
            self.is_signalled = true;
        }
    }

    /// The call is answered; `events_wait` says that there is something to read.
    pub fn answered(&mut self, code: u16, events_wait: bool, block: &[u8]) {
        self.is_signalled |= events_wait;
        let Some(call) = self.call.take() else {
            return;
        };
        let is_done = code & 0xff == response::DONE;
        self.failures = if is_done || call == Call::Read {
            0
        } else {
            self.failures + 1
        };
        let is_given_up = self.failures >= TRIES;
        match call {
            Call::Masks if is_done => self.open(taken_events(block)),
            Call::Masks if is_given_up => self.stage = Stage::Deaf,
            Call::Masks => {}
            Call::Read if is_done => self.take_events(block),
            Call::Read => {}
            Call::Write(count) if is_done || is_given_up => {
                self.failures = 0;
                self.ring.input.skip(count);
            }
            Call::Write(_) => {}
        }
    }

    /// Notes what the service processor has.
    const fn open(&mut self, taken: u32) {
        self.stage = if taken & event_mask(ASCII) != 0 {
            Stage::Open(Console::Ascii)
        } else if taken & event_mask(LINE) != 0 {
            Stage::Open(Console::Lines)
        } else {
            Stage::Deaf
        };
    }

    /// Takes the keys of a block of events, behind which there may be more.
    fn take_events(&mut self, block: &[u8]) {
        self.is_signalled = true;
        let length = block
            .first_chunk()
            .map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
        let data = block.get(BLOCK_HEADER..length).unwrap_or_default();
        for event in events(data) {
            match event.kind {
                // The first byte says that it is text.
                ASCII if event.data.first() == Some(&0) => {
                    event.data.iter().skip(1).for_each(|key| self.typed(*key));
                }
                OPERATOR => self.typed_line(event.data),
                _ => {}
            }
        }
        self.deliver();
    }

    /// Takes a line that the operator typed, and its end.
    fn typed_line(&mut self, data: &[u8]) {
        let mut text: Vec<u8, TYPED_LINE> = Vec::new();
        operator_text(data, |character| {
            let _ = text.push(character);
        });
        line_mode::decode(&text, |key| {
            self.typed(if key == b'\n' { b'\r' } else { key });
        });
    }

    /// Takes a key. There is room for all of a block, whose headers are longer than the ends of its
    /// lines.
    fn typed(&mut self, key: u8) {
        let _ = self.typed.push_back(key);
    }

    /// Moves keys to the console as far as it has room.
    fn deliver(&mut self) {
        while let Some(key) = self.typed.front().copied() {
            if self.ring.output.push(&[key]) == 0 {
                return;
            }
            self.typed.pop_front();
            self.bell = true;
        }
    }
}

/// Returns the call that says which events are exchanged.
fn masks(block: &mut [u8; BLOCK_BYTES]) -> Start {
    let receive = event_mask(ASCII) | event_mask(OPERATOR);
    let send = event_mask(ASCII) | event_mask(LINE);
    let masks = mask_block(receive, send);
    if let Some(place) = block.get_mut(..masks.len()) {
        place.copy_from_slice(&masks);
    }
    Start {
        command: command::WRITE_EVENT_MASK,
        length: masks.len(),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use api::ring::{CAPACITY, PAGE_WORDS};
    use core::sync::atomic::AtomicU64;
    use proptest::prelude::*;
    use s390_regs::sclp::{ascii, operator_event};

    fn page() -> std::vec::Vec<AtomicU64> {
        (0..PAGE_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    /// A service processor in front of a link.
    struct Processor<'a> {
        link: Link<'a>,
        console: Ends<'a>,
        block: [u8; BLOCK_BYTES],
    }

    impl<'a> Processor<'a> {
        /// Connects one that takes these events.
        fn new(page: &'a [AtomicU64], taken: u32) -> Self {
            let mut new = Self {
                link: Link::new(Ends::of_peer(page).unwrap()),
                console: Ends::of_console(page).unwrap(),
                block: [0; BLOCK_BYTES],
            };
            let start = new.next(false).unwrap();
            assert_eq!(start.command, command::WRITE_EVENT_MASK);
            new.block[20..24].copy_from_slice(&taken.to_be_bytes());
            new.answer(response::DONE);
            new
        }

        fn next(&mut self, is_quiet: bool) -> Option<Start> {
            self.link.next(is_quiet, &mut self.block)
        }

        fn answer(&mut self, code: u16) {
            self.link.answered(code, false, &self.block);
        }

        /// Answers the reads that come first: there is nothing.
        fn settle(&mut self) {
            while let Some(start) = self.next(false) {
                assert_eq!(start.command, command::READ_EVENT_DATA);
                self.answer(response::NO_EVENT);
            }
        }

        /// Puts one event into the block and answers the read with it.
        fn bring(&mut self, event: &[u8]) {
            self.link.signalled();
            assert_eq!(self.next(false).unwrap().command, command::READ_EVENT_DATA);
            let length = BLOCK_HEADER + event.len();
            self.block[..2].copy_from_slice(&(length as u16).to_be_bytes());
            self.block[BLOCK_HEADER..length].copy_from_slice(event);
            self.answer(response::DONE);
        }

        fn typed(&mut self) -> std::vec::Vec<u8> {
            let mut keys = [0; CAPACITY];
            let count = self.console.input.pop(&mut keys);
            keys[..count].to_vec()
        }

        /// Returns what the block of a write shows.
        fn shown(&self, start: Start) -> std::vec::Vec<u8> {
            assert_eq!(start.command, command::WRITE_EVENT_DATA);
            let event = events(&self.block[BLOCK_HEADER..start.length])
                .next()
                .unwrap();
            match event.kind {
                ASCII => event.data.to_vec(),
                _ => {
                    let text = &event.data[LINE_HEADER - EVENT_HEADER..];
                    text.iter().map(|character| ascii(*character)).collect()
                }
            }
        }
    }

    #[test]
    fn a_terminal_gets_bytes_as_they_are_and_keeps_them_until_they_are_shown() {
        let page = page();
        let mut processor = Processor::new(&page, event_mask(ASCII) | event_mask(LINE));
        processor.console.output.push(b"\x1b_login: ");
        let start = processor.next(false).unwrap();
        assert_eq!(processor.shown(start), b"\x1b_login: ");
        assert_eq!(processor.console.output.waiting(), 9);
        assert_eq!(processor.next(false), None, "one call at a time");
        processor.answer(response::DONE);
        assert_eq!(processor.console.output.waiting(), 0);
        processor.settle();
    }

    #[test]
    fn a_line_is_shown_when_it_ends_or_nothing_follows() {
        let page = page();
        let mut processor = Processor::new(&page, event_mask(LINE));
        processor.settle();
        processor.console.output.push(b"one\r\ntwo");
        let start = processor.next(false).unwrap();
        assert_eq!(processor.shown(start), b"one");
        processor.answer(response::DONE);
        assert_eq!(processor.next(false), None);
        assert!(processor.link.is_unfinished());
        let start = processor.next(true).unwrap();
        assert_eq!(processor.shown(start), b"two%");
        processor.answer(response::DONE);
        assert!(!processor.link.is_unfinished());
    }

    #[test]
    fn keys_arrive_from_terminals_and_as_lines() {
        let page = page();
        let mut processor = Processor::new(&page, event_mask(ASCII));
        processor.bring(b"\0\x09\x1a\0\0\0\0\x1d2");
        assert_eq!(processor.typed(), b"\x1d2");
        assert!(processor.link.take_bell() && !processor.link.take_bell());
        for (line, keys) in [("ls", &b"ls\r"[..]), ("%1D2%", b"\x1d2"), ("", b"\r")] {
            let mut event = [0; 64];
            let length = operator_event(line.as_bytes(), &mut event);
            processor.bring(&event[..length]);
            assert_eq!(processor.typed(), keys);
        }
        // A session that began or ended is no key.
        processor.bring(b"\0\x08\x1a\0\0\0\x01x");
        assert_eq!(processor.typed(), b"");
    }

    #[test]
    fn nothing_is_read_while_keys_wait_for_room() {
        let page = page();
        let mut processor = Processor::new(&page, event_mask(ASCII));
        let full = CAPACITY - 1;
        processor.link.ring.output.push(&[b'x'; CAPACITY][..full]);
        processor.bring(b"\0\x0a\x1a\0\0\0\0abc");
        processor.link.signalled();
        assert_eq!(processor.next(false), None);
        assert_eq!(processor.typed().last(), Some(&b'a'));
        assert_eq!(
            processor.next(false).unwrap().command,
            command::READ_EVENT_DATA
        );
        assert_eq!(processor.typed(), b"bc");
    }

    #[test]
    fn what_cannot_be_shown_is_given_up_after_some_tries() {
        let page = page();
        let mut processor = Processor::new(&page, event_mask(ASCII));
        processor.console.output.push(b"x");
        for _ in 0..TRIES {
            assert!(processor.next(false).is_some());
            processor.answer(0x0340);
        }
        assert_eq!(processor.console.output.waiting(), 0);
        processor.settle();
    }

    #[test]
    fn a_refused_call_is_made_again() {
        let page = page();
        let mut processor = Processor::new(&page, event_mask(ASCII));
        let read = processor.next(false);
        processor.link.refused();
        assert_eq!(processor.next(false), read);
    }

    #[test]
    fn without_a_console_nothing_is_asked() {
        let page = page();
        let mut processor = Processor::new(&page, 0);
        assert!(processor.link.is_deaf());
        assert_eq!(processor.next(true), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_fatal(answers in proptest::collection::vec((any::<u16>(), any::<std::vec::Vec<u8>>()), 0..20)) {
            let page = page();
            let mut processor = Processor::new(&page, event_mask(ASCII));
            for (code, bytes) in answers {
                processor.link.signalled();
                let _ = processor.next(true);
                for (place, byte) in processor.block.iter_mut().zip(bytes) {
                    *place = byte;
                }
                processor.answer(code);
                let _ = processor.typed();
            }
        }
    }
}
