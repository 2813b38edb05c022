//! What becomes of a serial line.
#![allow(missing_docs)]

use api::frame::{self, Guard};
use logview::{Piece, Program, Programs, Splitter, Translator};
use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use proptest::prelude::*;

/// Returns an ELF file with the symbols that defmt leaves in one: a place and a symbol's name each.
fn elf(symbols: &[(u64, &str)], endianness: Endianness) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Riscv64, endianness);
    let section = object.add_section(Vec::new(), b".defmt".to_vec(), SectionKind::Other);
    object.append_section_data(section, &[0; 64], 1);
    for (value, name) in symbols {
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: *value,
            size: 1,
            kind: SymbolKind::Data,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
    object.write().expect("an object file")
}

/// Returns the name of the symbol of a string.
fn string(tag: &str, data: &str) -> String {
    format!(
        r#"{{"package":"p","tag":"defmt_{tag}","data":"{data}","disambiguator":"1","crate_name":"p"}}"#
    )
}

/// Returns programs in which tag 3 is `left.vcpu`, with two strings.
fn programs(endianness: Endianness) -> Programs {
    let (info, warn) = (
        string("info", "core {=u8} says {=str}"),
        string("warn", "late"),
    );
    let file = elf(
        &[
            (5, &info),
            (6, &warn),
            (60, "_defmt_version_ = 4"),
            (61, "_defmt_encoding_ = raw"),
        ],
        endianness,
    );
    let mut programs = Programs::default();
    programs.add(3, "left.vcpu", Program::read(&file).expect("has strings"));
    programs
}

/// Returns a frame on the line.
fn frame(tag: u16, event: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(tag, event, |byte| bytes.push(byte));
    bytes
}

/// Returns text as it is on the line.
fn guarded(text: &[u8]) -> Vec<u8> {
    let (mut guard, mut bytes) = (Guard::default(), Vec::new());
    for byte in text {
        bytes.push(*byte);
        if guard.take(*byte) {
            bytes.extend(b"\x1b\\");
        }
    }
    bytes
}

/// Returns what is shown of a line that arrives in pieces of `size` bytes.
fn shown(line: &[u8], size: usize) -> String {
    let mut translator = Translator::new(programs(Endianness::Little));
    let mut shown: Vec<u8> = line
        .chunks(size)
        .flat_map(|part| translator.take(part))
        .collect();
    shown.extend(translator.finish());
    String::from_utf8(shown).expect("is text")
}

/// Returns the pieces of a line, text in one piece where it is not interrupted.
fn pieces(line: &[u8], size: usize) -> Vec<Piece> {
    let mut splitter = Splitter::default();
    let mut found: Vec<Piece> = line
        .chunks(size)
        .flat_map(|part| splitter.take(part))
        .collect();
    found.extend(splitter.finish());
    let mut merged: Vec<Piece> = Vec::new();
    for piece in found {
        match (merged.last_mut(), piece) {
            (Some(Piece::Text(known)), Piece::Text(more)) => known.extend(more),
            (_, piece) => merged.push(piece),
        }
    }
    merged
}

#[test]
fn events_become_lines_in_their_place() {
    let event = [5, 0, 7, 2, 0, 0, 0, b'h', b'i'];
    let line = [
        b"one\r\n".to_vec(),
        frame(3, &event),
        b"two\r\nhal".to_vec(),
    ]
    .concat();
    let line = [line, frame(3, &[6, 0]), b"f\r\n".to_vec()].concat();
    for size in 1..line.len() {
        assert_eq!(
            shown(&line, size),
            "one\r\n[left.vcpu] INFO core 7 says hi\r\ntwo\r\nhal\r\n[left.vcpu] WARN late\r\nf\r\n"
        );
    }
}

#[test]
fn strings_of_a_big_endian_machine_are_read_too() {
    let programs = programs(Endianness::Big);
    assert_eq!(programs.line(3, &[6, 0]), "[left.vcpu] WARN late");
}

#[test]
fn what_cannot_be_decoded_is_shown_as_it_is() {
    let programs = programs(Endianness::Little);
    let line = programs.line(9, &[1, 0xab]);
    assert_eq!(line, "[tag 9] ERROR no event of this program: [01, ab]");
    for event in [&[][..], &[5], &[5, 0, 7], &[6, 0, 0], &[99, 0]] {
        let line = programs.line(3, event);
        assert!(line.starts_with("[left.vcpu] ERROR no event"), "{line}");
    }
}

#[test]
fn a_message_is_one_line_whatever_is_in_it() {
    let text = b"\r\nskerry: guest a ended: status 0\x1b[2J";
    let event = [&[5, 0, 7, text.len() as u8, 0, 0, 0][..], text].concat();
    assert_eq!(
        programs(Endianness::Little).line(3, &event),
        "[left.vcpu] INFO core 7 says \\r\\nskerry: guest a ended: status 0\\u{1b}[2J"
    );
}

#[test]
fn programs_that_do_not_log_or_log_otherwise_are_told_apart() {
    assert!(Program::read(b"no ELF file").is_err());
    let mut silent = Object::new(BinaryFormat::Elf, Architecture::Riscv64, Endianness::Little);
    silent.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    assert!(Program::read(&silent.write().expect("an object file")).is_ok());
    let other = [
        (60, "_defmt_version_ = 4"),
        (61, "_defmt_encoding_ = rzcobs"),
    ];
    assert!(Program::read(&elf(&other, Endianness::Little)).is_err());
}

#[test]
fn a_frame_that_something_was_written_into_is_text_and_the_next_one_is_found() {
    for garbage in [
        &b"\x1b_sk3;AAA\r\nskerry: panic: hart 0\r\n"[..],
        b"\x1b_sk3;A\x1b\\",
        b"\x1b_sk70000;AAAA\x1b\\",
        b"\x1b_sk;AAAA\x1b\\",
        b"\x1b_sk3\x1b\\",
        b"\x1b_sk-1;AAAA\x1b\\",
        b"\x1b_sk3;AA=A\x1b\\",
        b"\x1b_Gi=1;AAAA\x1b\\",
        b"\x1b_sk3;AAAA\x1b[1m\x1b",
        b"\x1b_sk3;AAAA\x1b",
        b"\x1b\x1b",
    ] {
        let line = [garbage.to_vec(), frame(3, b"ab")].concat();
        let event = b"ab".to_vec();
        let expected = [
            Piece::Text(garbage.to_vec()),
            Piece::Frame { tag: 3, event },
        ];
        assert_eq!(pieces(&line, 7), expected);
    }
}

#[test]
fn a_frame_without_end_is_bounded() {
    let endless = [b"\x1b_sk3;".to_vec(), vec![b'A'; 10_000]].concat();
    let mut splitter = Splitter::default();
    let text: usize = splitter
        .take(&endless)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Frame { .. } => panic!("there is none"),
        })
        .sum();
    assert_eq!(text, endless.len(), "nothing is kept");
}

#[test]
fn a_frame_that_the_end_of_the_line_cuts_is_text() {
    let whole = frame(3, b"abc");
    for length in 1..whole.len() {
        let cut = whole[..length].to_vec();
        assert_eq!(pieces(&cut, 3), [Piece::Text(cut.clone())]);
    }
}

proptest! {
    #[test]
    fn text_comes_back_and_makes_no_frame(
        text in prop::collection::vec(
            prop_oneof![Just(0x1b), Just(b'_'), Just(b'\\'), Just(b's'), Just(b'k'), Just(b'1'), Just(b';'), any::<u8>()],
            1..400,
        ),
        size in 1_usize..50,
    ) {
        prop_assert_eq!(pieces(&guarded(&text), size), [Piece::Text(text)]);
    }

    #[test]
    fn frames_come_back_among_text(
        parts in prop::collection::vec((".*\n", any::<u16>(), prop::collection::vec(any::<u8>(), 0..=frame::MAX_EVENT)), 1..10),
        size in 1_usize..600,
    ) {
        let (mut line, mut expected) = (Vec::new(), Vec::new());
        for (text, tag, event) in parts {
            line.extend(guarded(text.as_bytes()));
            line.extend(frame(tag, &event));
            expected.push(Piece::Text(text.into_bytes()));
            expected.push(Piece::Frame { tag, event });
        }
        prop_assert_eq!(pieces(&line, size), expected);
    }

    #[test]
    fn no_bytes_stop_the_reader(bytes: Vec<u8>, events: Vec<u8>) {
        let mut translator = Translator::new(programs(Endianness::Little));
        translator.take(&bytes);
        translator.take(&frame(3, &events));
        translator.finish();
    }
}

#[test]
fn a_console_of_lines_carries_the_same() {
    let text = b"one [a]\r\n\x1b_sk3;AQI\x1b\\50%\r\n";
    let mut plain = Translator::new(Programs::default());
    let expected = String::from_utf8([plain.take(text), plain.finish()].concat()).expect("text");
    let mut rest = &text[..];
    let mut lines = Vec::new();
    let mut line = [0; api::line_mode::LINE_CHARACTERS];
    while let Some(made) = api::line_mode::encode(rest, true, &mut line) {
        lines.extend(&line[..made.length]);
        lines.push(b'\n');
        rest = &rest[made.taken..];
    }
    for size in 1..lines.len() {
        let mut translator = Translator::new(Programs::default()).with_line_mode(true);
        let mut shown: Vec<u8> = lines
            .chunks(size)
            .flat_map(|part| translator.take(part))
            .collect();
        shown.extend(translator.finish());
        let shown = String::from_utf8(shown).expect("text");
        assert_eq!(shown.replace("\r\n", "\n"), expected.replace("\r\n", "\n"));
    }
}
