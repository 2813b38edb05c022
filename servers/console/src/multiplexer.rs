//! Output of many consoles onto one wire.
//!
//! Each console's bytes go through its own buffer. [`Multiplexer::take`] moves them to the wire:
//! the console whose line is open there (at most one) goes on until its line ends; then complete
//! lines of the others come, and then again whatever the focused console has. A log frame
//! ([`api::frame`]) counts as a line; all other bytes are text, and what in them would begin a frame
//! is closed on its way to the wire.

use crate::{CONSOLES, ConsoleId};
use alloc::collections::VecDeque;
use api::frame::{self, Guard};
use core::fmt::{self, Write};
use heapless::String;

/// Bytes that wait for one console.
pub const BUFFER_BYTES: usize = 4096;
/// The most bytes of a console's name.
pub const NAME_BYTES: usize = 16;

/// How consoles share the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The focused console is shown as it is; complete lines of the others have a prefix.
    Interactive,
    /// There is no focus: complete lines of all consoles, with a prefix where `prefix` is set.
    Batch {
        /// Whether there is more than one guest.
        prefix: bool,
    },
}

/// What a byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Text: whatever somebody wrote.
    Text,
    /// A frame that this process made.
    Frame,
    /// Its last byte.
    FrameEnd,
}

/// A byte that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    byte: u8,
    part: Part,
}

impl Waiting {
    /// Returns whether a line or a frame ends with it.
    const fn is_end(self) -> bool {
        match self.part {
            Part::Text => self.byte == b'\n',
            Part::Frame => false,
            Part::FrameEnd => true,
        }
    }
}

/// One console's output.
#[derive(Clone, Debug, Default)]
struct Channel {
    name: String<NAME_BYTES>,
    /// At most [`BUFFER_BYTES`]; on the heap, for ten of them would not fit on a server's stack.
    waiting: VecDeque<Waiting>,
    /// Ends of lines and frames in `waiting`.
    lines: usize,
    /// Bytes lost since the loss was reported last.
    unreported: u64,
    /// Bytes lost in all.
    dropped: u64,
    /// The console gave up in the middle of a line; its rest is dropped too.
    skipping: bool,
}

/// All consoles' output.
#[derive(Clone, Debug)]
pub struct Multiplexer {
    mode: Mode,
    focus: ConsoleId,
    channels: [Channel; CONSOLES],
    /// The console whose line is open on the wire.
    open: Option<ConsoleId>,
    /// The console that had the wire last: the search for lines goes on behind it.
    last: ConsoleId,
    /// A line on the wire was left without an end.
    unended: bool,
    /// The focus moved and the user was not told yet.
    notice: bool,
    /// Text that goes out before anything else: prefixes and reports.
    ahead: String<128>,
    /// How much of `ahead` went out.
    ahead_done: usize,
    /// What went to the wire last.
    guard: Guard,
}

impl Multiplexer {
    /// Returns a multiplexer whose consoles have no names yet; the focus is on the host log.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        let mut channels: [Channel; CONSOLES] = Default::default();
        if let Some(host) = channels.first_mut() {
            host.name = String::try_from("host").unwrap_or_default();
        }
        let ahead = String::new();
        let (focus, open) = (ConsoleId::HOST, None);
        Self {
            mode,
            focus,
            channels,
            open,
            last: focus,
            unended: false,
            notice: false,
            ahead,
            ahead_done: 0,
            guard: Guard::default(),
        }
    }

    /// Names a console; a longer name is cut.
    pub fn set_name(&mut self, console: ConsoleId, name: &str) {
        if let Some(channel) = self.channels.get_mut(console.index()) {
            channel.name.clear();
            for letter in name.chars() {
                if channel.name.push(letter).is_err() {
                    break;
                }
            }
        }
    }

    /// Returns the focused console.
    #[must_use]
    pub const fn focus(&self) -> ConsoleId {
        self.focus
    }

    /// Focuses a console and says so on the wire, behind the end of the line that is open there.
    pub fn set_focus(&mut self, console: ConsoleId) {
        if self.focus != console {
            self.focus = console;
            self.notice = true;
            self.leave_line();
        }
    }

    /// The open line has been idle for a while (a prompt): complete lines of other consoles, where
    /// there are any, come first, and it goes on behind them.
    pub fn interrupt_line(&mut self) {
        if self.channels.iter().any(|channel| channel.lines > 0) {
            self.leave_line();
        }
    }

    /// Leaves the open line where its end is not known yet; one that is complete will end soon.
    fn leave_line(&mut self) {
        let complete = self.open.and_then(|open| self.channels.get(open.index()));
        if complete.is_some_and(|channel| channel.lines == 0) {
            self.open = None;
            self.unended = true;
        }
    }

    /// Takes output of a console. What does not fit is dropped and counted, up to the end of the
    /// line, so that no line is ever shown without its middle.
    pub fn write(&mut self, console: ConsoleId, bytes: &[u8]) {
        let Some(channel) = self.channels.get_mut(console.index()) else {
            return;
        };
        for &byte in bytes {
            channel.push(byte);
        }
    }

    /// Takes an event of the process with this tag, as a frame of the host's log. One that does not
    /// fit is dropped whole and counted.
    pub fn write_event(&mut self, tag: u16, event: &[u8]) {
        let Some(host) = self.channels.first_mut() else {
            return;
        };
        let mut bytes: heapless::Vec<u8, { frame::MAX_FRAME }> = heapless::Vec::new();
        frame::write(tag, event, |byte| {
            let pushed = bytes.push(byte);
            debug_assert!(pushed.is_ok(), "no frame is longer");
        });
        host.push_frame(&bytes);
    }

    /// Returns how many bytes a console can write now without losing any.
    #[must_use]
    pub fn room(&self, console: ConsoleId) -> usize {
        let waiting = self
            .channels
            .get(console.index())
            .map(|channel| channel.waiting.len());
        waiting.map_or(0, |waiting| (BUFFER_BYTES - 1).saturating_sub(waiting))
    }

    /// Returns whether a console can go on only by losing bytes: it filled its buffer without
    /// ending a line, and its line is not the one that is shown.
    #[must_use]
    pub fn is_stuck(&self, console: ConsoleId) -> bool {
        let shown =
            self.open == Some(console) || (self.mode == Mode::Interactive && self.focus == console);
        let channel = self.channels.get(console.index());
        !shown && self.room(console) == 0 && channel.is_some_and(|channel| channel.lines == 0)
    }

    /// Returns how many bytes of a console were lost.
    #[must_use]
    pub fn dropped(&self, console: ConsoleId) -> u64 {
        self.channels
            .get(console.index())
            .map_or(0, |channel| channel.dropped)
    }

    /// Moves bytes to the wire; returns how many.
    pub fn take(&mut self, wire: &mut [u8]) -> usize {
        let mut done = 0;
        for place in wire {
            let Some(byte) = self.next() else { break };
            *place = byte;
            done += 1;
        }
        done
    }

    /// Ends: what waits without a line end is given one, so that [`Multiplexer::take`] shows it.
    pub fn finish(&mut self) {
        let drained = self.open.and_then(|open| self.channels.get(open.index()));
        if drained.is_some_and(|channel| channel.waiting.is_empty()) {
            self.leave_line();
        }
        for channel in &mut self.channels {
            if channel.waiting.back().is_some_and(|last| !last.is_end()) {
                channel.skipping = false;
                channel.end_line();
            }
        }
    }

    /// Returns the next byte of the wire.
    fn next(&mut self) -> Option<u8> {
        loop {
            if let Some(byte) = self.next_ahead() {
                return Some(byte);
            }
            if core::mem::take(&mut self.unended) {
                self.say(format_args!("\r\n"));
                continue;
            }
            if self.open.is_none() && core::mem::take(&mut self.notice) {
                let focused = self.channels.get(self.focus.index());
                let name = focused
                    .map(|channel| channel.name.clone())
                    .unwrap_or_default();
                self.say(format_args!("[{name}: Ctrl-] h for help]\r\n"));
                continue;
            }
            if self.open.is_none() {
                let console = self.choose()?;
                self.open_line(console);
                continue;
            }
            return self.next_of_open();
        }
    }

    /// Returns the next byte of what goes first.
    fn next_ahead(&mut self) -> Option<u8> {
        let byte = self.ahead.as_bytes().get(self.ahead_done).copied();
        if let Some(byte) = byte {
            let _ = self.guard.take(byte);
            self.ahead_done += 1;
        } else {
            self.ahead.clear();
            self.ahead_done = 0;
        }
        byte
    }

    /// Returns the next byte of the open line and closes it at its end. An open line that nothing
    /// follows may be left only by its console.
    fn next_of_open(&mut self) -> Option<u8> {
        let console = self.open?;
        let next = self.channels.get_mut(console.index())?.pop()?;
        if next.is_end() {
            self.open = None;
        }
        if self.guard.take(next.byte) && next.part == Part::Text {
            self.say(format_args!("\x1b\\"));
        }
        Some(next.byte)
    }

    /// Returns the console whose line comes next: complete lines first, in turn, then what the focused console has begun.
    fn choose(&self) -> Option<ConsoleId> {
        let turn = (1..=CONSOLES).map(|step| (self.last.index() + step) % CONSOLES);
        let mut all = turn.filter_map(|index| ConsoleId::new(index as u8));
        let complete = all.find(|console| {
            self.channels
                .get(console.index())
                .is_some_and(|channel| channel.lines > 0)
        });
        let focused = self.channels.get(self.focus.index());
        let begun = focused.is_some_and(|channel| !channel.waiting.is_empty());
        let shown = self.mode == Mode::Interactive && begun;
        complete.or_else(|| shown.then_some(self.focus))
    }

    /// Opens a line of `console` on the wire, with its prefix and a report of what was lost.
    fn open_line(&mut self, console: ConsoleId) {
        self.open = Some(console);
        self.last = console;
        let prefix = match self.mode {
            Mode::Interactive => console != self.focus,
            Mode::Batch { prefix } => prefix,
        };
        let Some(channel) = self.channels.get_mut(console.index()) else {
            return;
        };
        let is_text = channel
            .waiting
            .front()
            .is_some_and(|next| next.part == Part::Text);
        let lost = core::mem::take(&mut channel.unreported);
        let name = channel.name.clone();
        if lost > 0 {
            self.say(format_args!("[{name}: {lost} bytes lost]\r\n"));
        }
        if prefix && is_text {
            self.say(format_args!("[{name}] "));
        }
    }

    /// Puts text before everything else. There is room: `ahead` is empty when this is called for a
    /// line, and the longest report and prefix together have fewer bytes.
    fn say(&mut self, text: fmt::Arguments<'_>) {
        let written = self.ahead.write_fmt(text);
        debug_assert!(written.is_ok(), "texts are shorter than the buffer");
    }
}

impl Channel {
    /// Takes a byte, or counts it as lost. The last place is kept for a line end.
    fn push(&mut self, byte: u8) {
        let full = self.waiting.len() + 1 >= BUFFER_BYTES;
        if byte == b'\n' && (self.skipping || full) {
            // The line end of a cut line is kept where its beginning was shown.
            self.skipping = false;
            self.end_line();
            return;
        }
        if self.skipping || full {
            self.skipping = true;
            self.unreported += 1;
            self.dropped += 1;
            return;
        }
        self.enqueue(byte, Part::Text);
    }

    /// Takes a frame, or counts it as lost. A line that has begun ends before it.
    fn push_frame(&mut self, bytes: &[u8]) {
        self.end_line();
        if self.waiting.len() + bytes.len() >= BUFFER_BYTES {
            self.unreported += bytes.len() as u64;
            self.dropped += bytes.len() as u64;
            return;
        }
        if let Some((last, others)) = bytes.split_last() {
            others
                .iter()
                .for_each(|byte| self.enqueue(*byte, Part::Frame));
            self.enqueue(*last, Part::FrameEnd);
        }
    }

    /// Lets a byte wait.
    fn enqueue(&mut self, byte: u8, part: Part) {
        let next = Waiting { byte, part };
        self.waiting.push_back(next);
        self.lines += usize::from(next.is_end());
    }

    /// Ends the last line, unless nothing of it waits.
    fn end_line(&mut self) {
        if self.waiting.back().is_some_and(|last| !last.is_end()) {
            self.enqueue(b'\n', Part::Text);
        }
    }

    /// Gives the oldest byte.
    fn pop(&mut self) -> Option<Waiting> {
        let next = self.waiting.pop_front()?;
        self.lines -= usize::from(next.is_end());
        Some(next)
    }
}
