//! What stops the machine, in words: without the formatting of `core`, which goes with the pages of
//! boot's code once the first process runs.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::panic::PanicInfo;

/// A part of a report.
#[derive(Clone, Copy)]
pub enum Part<'t> {
    /// Text as it is.
    Text(&'t str),
    /// A number in decimal digits.
    Decimal(u64),
    /// A number in hexadecimal digits, behind `0x`.
    Hexadecimal(u64),
}

/// Reports a bug of the kernel that a core found, on a line of its own.
pub fn bug(mut write: impl FnMut(&str), core: u64, parts: &[Part<'_>]) {
    let head = [
        Part::Text("\nskerry: panic on core "),
        Part::Decimal(core),
        Part::Text(": "),
    ];
    for part in head.iter().chain(parts).chain(&[Part::Text("\n")]) {
        match *part {
            Part::Text(text) => write(text),
            Part::Decimal(number) => write_digits(&mut write, number, 10),
            Part::Hexadecimal(number) => {
                write("0x");
                write_digits(&mut write, number, 16);
            }
        }
    }
}

/// Reports a panic: where, and what it says unless that has arguments.
pub fn panic(write: impl FnMut(&str), core: u64, info: &PanicInfo<'_>) {
    let (file, line) = info
        .location()
        .map_or(("?", 0), |place| (place.file(), u64::from(place.line())));
    let message = info
        .message()
        .as_str()
        .unwrap_or("its message has arguments, which are not printed");
    let parts = [
        Part::Text(file),
        Part::Text(":"),
        Part::Decimal(line),
        Part::Text(": "),
        Part::Text(message),
    ];
    bug(write, core, &parts);
}

/// Writes the digits of a number.
fn write_digits(write: &mut impl FnMut(&str), number: u64, base: u64) {
    if number >= base {
        write_digits(write, number / base, base);
    }
    let digits = "0123456789abcdef";
    let digit = usize::try_from(number % base).unwrap_or(0);
    write(digits.get(digit..=digit).unwrap_or("?"));
}

#[cfg(test)]
mod tests {
    use super::{Part, bug};

    /// Returns a report of core 3.
    fn told(parts: &[Part<'_>]) -> String {
        let mut text = String::new();
        bug(|more| text.push_str(more), 3, parts);
        text
    }

    #[test]
    fn a_report_is_a_line_that_says_which_core_it_is_from() {
        assert_eq!(
            told(&[Part::Text("why")]),
            "\nskerry: panic on core 3: why\n"
        );
    }

    #[test]
    fn numbers_are_written_as_the_formatting_of_core_does() {
        for number in [0, 1, 9, 10, 15, 16, 0xdead_beef, u64::MAX] {
            let parts = [
                Part::Decimal(number),
                Part::Text(" "),
                Part::Hexadecimal(number),
            ];
            let wanted = format!("\nskerry: panic on core 3: {number} {number:#x}\n");
            assert_eq!(told(&parts), wanted);
        }
    }
}
