//! What appears on the wire.
#![allow(missing_docs)]

use console::multiplexer::BUFFER_BYTES;
use console::{ConsoleId, Mode, Multiplexer};
use proptest::prelude::*;

const LEFT: u8 = 1;
const RIGHT: u8 = 2;

fn id(number: u8) -> ConsoleId {
    ConsoleId::new(number).unwrap()
}

fn with_guests(mode: Mode) -> Multiplexer {
    let mut multiplexer = Multiplexer::new(mode);
    multiplexer.set_name(id(LEFT), "left");
    multiplexer.set_name(id(RIGHT), "right");
    multiplexer
}

fn wire(multiplexer: &mut Multiplexer) -> String {
    let mut buffer = vec![0; 100_000];
    let taken = multiplexer.take(&mut buffer);
    String::from_utf8_lossy(&buffer[..taken]).into_owned()
}

#[test]
fn the_focused_console_is_shown_at_once_and_the_others_by_lines() {
    let mut m = with_guests(Mode::Interactive);
    m.set_focus(id(LEFT));
    wire(&mut m);
    m.write(id(LEFT), b"login: ");
    m.write(id(RIGHT), b"half a line");
    assert_eq!(wire(&mut m), "login: ");
    m.write(id(RIGHT), b", the rest\r\n");
    assert_eq!(wire(&mut m), "", "the focused line is open");
    m.write(id(LEFT), b"root\r\n$ ");
    assert_eq!(wire(&mut m), "root\r\n[right] half a line, the rest\r\n$ ");
}

#[test]
fn switching_ends_the_open_line() {
    let mut m = with_guests(Mode::Interactive);
    m.set_focus(id(LEFT));
    m.write(id(LEFT), b"$ ");
    wire(&mut m);
    m.set_focus(id(RIGHT));
    m.write(id(RIGHT), b"# ");
    assert_eq!(wire(&mut m), "\r\n[right: Ctrl-] h for help]\r\n# ");
    m.set_focus(id(RIGHT));
    assert_eq!(wire(&mut m), "");
}

#[test]
fn an_idle_prompt_gives_way_to_whole_lines() {
    let mut m = with_guests(Mode::Interactive);
    m.write(id(0), b"> ");
    assert_eq!(wire(&mut m), "> ");
    m.interrupt_line();
    assert_eq!(wire(&mut m), "", "there is nothing to show");
    m.write(id(LEFT), b"panic\n");
    m.interrupt_line();
    m.write(id(0), b"ls");
    assert_eq!(wire(&mut m), "\r\n[left] panic\nls");
}

#[test]
fn a_line_on_its_way_is_not_cut_by_switching() {
    let mut m = with_guests(Mode::Interactive);
    m.write(id(LEFT), b"abcdef\n");
    let mut part = [0; 10];
    assert_eq!(m.take(&mut part), 10);
    for focus in [LEFT, RIGHT, 0, LEFT, RIGHT, 0, LEFT, RIGHT, 0, RIGHT] {
        m.set_focus(id(focus));
    }
    let shown = String::from_utf8_lossy(&part).into_owned() + &wire(&mut m);
    assert_eq!(shown, "[left] abcdef\n[right: Ctrl-] h for help]\r\n");
}

#[test]
fn batch_output_is_whole_lines_with_a_prefix_only_where_it_is_wanted() {
    for (prefix, expected) in [(true, "[left] one\n[right] two\n"), (false, "one\ntwo\n")] {
        let mut m = with_guests(Mode::Batch { prefix });
        m.write(id(RIGHT), b"tw");
        m.write(id(LEFT), b"one\n");
        m.write(id(RIGHT), b"o\n");
        assert_eq!(wire(&mut m), expected);
    }
}

#[test]
fn what_has_no_line_end_is_shown_at_the_end() {
    let mut m = with_guests(Mode::Batch { prefix: true });
    m.write(id(LEFT), b"last words");
    assert_eq!(wire(&mut m), "");
    m.finish();
    assert_eq!(wire(&mut m), "[left] last words\n");
}

#[test]
fn a_long_name_is_cut() {
    let mut m = with_guests(Mode::Batch { prefix: true });
    m.set_name(id(LEFT), "a-name-that-is-much-too-long");
    m.write(id(LEFT), b"x\n");
    assert_eq!(wire(&mut m), "[a-name-that-is-m] x\n");
}

#[test]
fn losses_are_counted_and_reported_and_whole_lines_survive() {
    let mut m = with_guests(Mode::Batch { prefix: false });
    let line = [b'x'; 99];
    for _ in 0..100 {
        m.write(id(LEFT), &line);
        m.write(id(LEFT), b"\n");
    }
    let lost = m.dropped(id(LEFT));
    assert!(lost > 0);
    let shown = wire(&mut m);
    assert!(shown.contains(&format!("{lost} bytes lost")), "{shown}");
    m.write(id(LEFT), b"after\n");
    assert_eq!(wire(&mut m), "after\n");
}

#[test]
fn a_line_longer_than_the_buffer_is_cut_but_ended() {
    let mut m = with_guests(Mode::Batch { prefix: false });
    m.write(id(LEFT), &vec![b'y'; BUFFER_BYTES * 2]);
    m.write(id(LEFT), b"\nnext\n");
    let shown = wire(&mut m);
    assert!(shown.contains("bytes lost"));
    assert!(
        shown.ends_with("y\nnext\n") || shown.ends_with("y\n"),
        "{}",
        shown.len()
    );
}

proptest! {
    #[test]
    fn no_byte_is_lost_or_mixed_inside_a_line_while_there_is_room(
        writes in proptest::collection::vec((0u8..3, "[a-z]{0,12}", any::<bool>(), 0usize..40), 1..200),
        focus in 0u8..3,
        interactive: bool,
    ) {
        let mode = if interactive { Mode::Interactive } else { Mode::Batch { prefix: true } };
        let mut m = with_guests(mode);
        m.set_focus(id(focus));
        let mut shown = wire(&mut m);
        shown.clear();
        let mut sent = [String::new(), String::new(), String::new()];
        for (console, text, ends, take) in writes {
            let text = format!("{console}{text}{}", if ends { "\n" } else { "" });
            prop_assume!(m.room(id(console)) >= text.len());
            sent[usize::from(console)].push_str(&text);
            m.write(id(console), text.as_bytes());
            let mut buffer = vec![0; take];
            let taken = m.take(&mut buffer);
            shown.push_str(std::str::from_utf8(&buffer[..taken]).unwrap());
        }
        m.finish();
        shown.push_str(&wire(&mut m));
        let names = ["host", "left", "right"];
        let mut got = [String::new(), String::new(), String::new()];
        for line in shown.split_inclusive('\n') {
            let owner = names.iter().position(|name| line.starts_with(&format!("[{name}] ")));
            let owner_or_focus = owner.unwrap_or(usize::from(focus));
            let body = owner.map_or(line, |owner| &line[names[owner].len() + 3..]);
            got[owner_or_focus].push_str(body);
        }
        for console in 0..3 {
            let expected = if sent[console].is_empty() || sent[console].ends_with('\n') {
                sent[console].clone()
            } else {
                format!("{}\n", sent[console])
            };
            let end = ['\r', '\n'];
            prop_assert_eq!(got[console].trim_end_matches(end), expected.trim_end_matches(end));
            prop_assert_eq!(m.dropped(id(console as u8)), 0);
        }
    }

    #[test]
    fn buffers_stay_bounded_whatever_is_written(
        writes in proptest::collection::vec((0u8..3, proptest::collection::vec(any::<u8>(), 0..3000)), 0..20),
    ) {
        let mut m = with_guests(Mode::Batch { prefix: true });
        let mut sent = 0u64;
        for (console, bytes) in writes {
            m.write(id(console), &bytes);
            sent += bytes.len() as u64;
        }
        m.finish();
        let mut buffer = vec![0; 1 << 20];
        let taken = m.take(&mut buffer);
        let lost: u64 = (0..3).map(|console| m.dropped(id(console))).sum();
        prop_assert!(taken as u64 + lost >= sent - sent.min(4096));
        prop_assert_eq!(m.take(&mut buffer), 0);
    }
}

/// Returns the wire's bytes without what is between `ESC _ sk` and `ESC \`, and these frames; an
/// `ESC _ ESC \` is text.
fn parted(wire: &str) -> (String, Vec<String>) {
    let (mut text, mut frames) = (String::new(), Vec::new());
    let mut rest = wire;
    while let Some((before, behind)) = rest.split_once("\x1b_") {
        text.push_str(before);
        let (body, behind) = behind.split_once("\x1b\\").expect("every ESC _ is closed");
        if body.is_empty() {
            text.push_str("\x1b_");
        } else {
            frames.push(body.to_owned());
        }
        rest = behind;
    }
    (text + rest, frames)
}

#[test]
fn an_event_is_a_frame_between_lines_and_has_no_prefix() {
    let mut m = with_guests(Mode::Interactive);
    m.set_focus(id(LEFT));
    wire(&mut m);
    m.write(id(LEFT), b"half");
    assert_eq!(wire(&mut m), "half");
    m.write(id(0), b"before\n");
    m.write_event(7, &[1, 2, 3]);
    m.write(id(0), b"after\n");
    assert_eq!(wire(&mut m), "", "the focused line is open");
    m.write(id(LEFT), b" a line\n");
    let shown = wire(&mut m);
    assert_eq!(
        shown,
        " a line\n[host] before\n\x1b_sk7;AQID\x1b\\[host] after\n"
    );
}

#[test]
fn what_a_guest_writes_makes_no_frame() {
    let mut m = with_guests(Mode::Interactive);
    m.set_focus(id(LEFT));
    wire(&mut m);
    let forged = "\x1b_sk1;AQID\x1b\\ \x1b[1m_\x1b\x1b_x\n";
    for byte in forged.bytes() {
        m.write(id(LEFT), &[byte]);
        m.write_event(2, b"real");
    }
    let (text, frames) = parted(&wire(&mut m));
    assert_eq!(text, forged);
    assert!(frames.len() > 10 && frames.iter().all(|frame| frame == "sk2;cmVhbA"));
}

#[test]
fn a_line_that_was_left_behind_an_escape_opens_nothing() {
    let mut m = with_guests(Mode::Interactive);
    m.set_focus(id(LEFT));
    wire(&mut m);
    m.write(id(LEFT), b"\x1b");
    assert_eq!(wire(&mut m), "\x1b");
    m.write_event(2, b"");
    m.interrupt_line();
    m.write(id(LEFT), b"_sk1;AQID\x1b\\\n");
    assert_eq!(wire(&mut m), "\r\n\x1b_sk2;\x1b\\_sk1;AQID\x1b\\\n");
}

#[test]
fn an_event_without_room_is_lost_whole_and_counted() {
    let mut m = with_guests(Mode::Batch { prefix: true });
    for _ in 0..100 {
        m.write_event(2, &[0; 240]);
    }
    m.write(id(0), b"text\n");
    let shown = wire(&mut m);
    let (text, frames) = parted(&shown);
    assert!(frames.iter().all(|frame| frame.len() == 4 + 320));
    let lost = (100 - frames.len()) as u64 * 328;
    assert_eq!(m.dropped(id(0)), lost);
    assert_eq!(text, format!("[host: {lost} bytes lost]\r\n[host] text\n"));
}
