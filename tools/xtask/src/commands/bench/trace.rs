//! A trace by Hercules of a guest that marks rows (`tools/guests/benchmark/src/s390.rs`): how many
//! instructions there are between the marks, the guest's own and those of its host.
//!
//! An instruction is a line `PSW=… INST=…`, behind `SIE: ` if it is a guest's. Lines of operands come
//! in between.

use anyhow::{Result, ensure};

use super::measure::{Measurement, Unit};

/// Address of the guest's first instruction, from which on there is a trace.
pub const FIRST: u64 = 0x2000;

/// LOAD HALFWORD IMMEDIATE of general register 0, whose numbers are marks.
const MARK: u32 = 0xa708 << 16;
/// Number of the mark behind each row.
const END: u32 = 0x5b00;
/// Number of the mark before a loop, and how many instructions the loop is.
const LOOP: (u32, u64) = (0x5b01, 1001);
/// Numbers of the marks before rows.
const ROWS: [(u32, &str); 3] = [
    (0x5b02, "exit_to_vcpu_server"),
    (0x5b03, "device_access_forwarded"),
    (0x5b04, "stage_2_fault"),
];

/// What lies between the mark of a row and the mark behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    /// Number of the mark.
    mark: u32,
    /// Instructions of the guest.
    guest: u64,
    /// Instructions of the host.
    host: u64,
}

/// Returns the rows: the median of each, from the instruction that exits to the next one.
pub fn measurements(lines: &[String]) -> Result<Vec<Measurement>> {
    let stretches = stretches(lines);
    let of = |mark| stretches.iter().filter(move |it| it.mark == mark);
    let (mark, expected) = LOOP;
    let mut found = of(mark).map(|it| it.guest);
    ensure!(
        found.next() == Some(expected) && found.next().is_none(),
        "a loop of {expected} instructions has {:?} in the trace",
        of(mark).collect::<Vec<_>>()
    );
    ROWS.iter()
        .map(|(mark, name)| row(name, of(*mark).copied().collect()))
        .collect()
}

/// Returns the median of a row.
fn row(name: &str, stretches: Vec<Stretch>) -> Result<Measurement> {
    // An instruction that waited for its memory is there twice.
    let exits = |it: &Stretch| matches!(it.guest, 1 | 2) && it.host > 0;
    ensure!(
        !stretches.is_empty() && stretches.iter().all(exits),
        "{name}: not one instruction with an exit each: {stretches:?}"
    );
    let mut counts: Vec<_> = stretches.iter().map(|it| it.host + 1).collect();
    counts.sort_unstable();
    Ok(Measurement {
        name: name.to_owned(),
        unit: Unit::Instructions,
        value: counts[counts.len() / 2],
        operations: None,
    })
}

/// Returns what is between marks.
fn stretches(lines: &[String]) -> Vec<Stretch> {
    let mut all = Vec::new();
    let mut open: Option<Stretch> = None;
    let mut is_repeated = false;
    for line in lines {
        // The instruction that a program interruption is about was there before.
        is_repeated |= line.contains("HHCCP014I");
        let Some((is_guest, bits)) = instruction(line) else {
            continue;
        };
        if std::mem::take(&mut is_repeated) {
            continue;
        }
        match bits ^ MARK {
            END if is_guest => all.extend(open.take()),
            mark if is_guest && is_row(mark) => {
                open = Some(Stretch {
                    mark,
                    guest: 0,
                    host: 0,
                });
            }
            _ => {
                if let Some(stretch) = &mut open {
                    let count = if is_guest {
                        &mut stretch.guest
                    } else {
                        &mut stretch.host
                    };
                    *count += if is_execute(bits) { 2 } else { 1 };
                }
            }
        }
    }
    all
}

/// Returns whether a mark with this number begins a row.
fn is_row(mark: u32) -> bool {
    mark == LOOP.0 || ROWS.iter().any(|(known, _)| *known == mark)
}

/// Returns whether an instruction is EXECUTE, whose target has no line of its own.
const fn is_execute(bits: u32) -> bool {
    bits >> 24 == 0x44 || bits >> 16 & 0xff0f == 0xc600
}

/// Returns whether the instruction of a line is a guest's, and its first four bytes.
fn instruction(line: &str) -> Option<(bool, u32)> {
    let (before, after) = line.split_once("INST=")?;
    let digits = after.split_whitespace().next()?;
    let bits = u32::from_str_radix(digits.get(..8.min(digits.len()))?, 16).ok()?;
    let is_short = digits.len() == 4;
    let is_guest = before.contains("SIE: ");
    Some((is_guest, if is_short { bits << 16 } else { bits }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the line of an instruction.
    fn line(guest: bool, instruction: &str) -> String {
        let before = if guest { "SIE: " } else { "" };
        format!(
            "{before}PSW=07040001 80000000 0000000000002014 INST={instruction}     AHI   0,23297"
        )
    }

    /// Returns the lines of a trace with a loop of so many passes and one round of each row.
    fn trace(passes: usize) -> Vec<String> {
        let mut lines = vec!["HHCPN040I Instruction tracing on".to_owned()];
        lines.extend([line(true, "A7085B01"), line(true, "A71903E8")]);
        lines.extend((0..passes).map(|_| line(true, "A7170000")));
        lines.push(line(true, "A7085B00"));
        for (mark, _) in ROWS {
            lines.push(line(true, &format!("A708{mark:04X}")));
            lines.extend([line(true, "83000044"), "V:0000: no instruction".to_owned()]);
            lines.extend([line(false, "07FE"), line(false, "C6D000000010")]);
            lines.extend([line(false, "B214E000"), line(true, "A7085B00")]);
        }
        lines
    }

    #[test]
    fn a_row_has_the_instruction_that_exits_and_those_of_the_host() {
        let found = measurements(&trace(1000)).expect("is calibrated");
        let rows: Vec<_> = found
            .iter()
            .map(|it| (it.name.as_str(), it.value))
            .collect();
        let expected = ROWS.map(|(_, name)| (name, 5));
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_program_interruption_shows_its_instruction_again() {
        let mut lines = trace(1000);
        let at = lines.len() - 4;
        let program = "HHCCP014I CPU0000: Page-translation exception CODE=0011 ILC=6";
        lines.splice(at..at, [program.to_owned(), line(false, "B214E000")]);
        assert_eq!(measurements(&lines).expect("is calibrated")[2].value, 5);
    }

    #[test]
    fn a_trace_with_holes_is_refused() {
        assert!(measurements(&trace(999)).is_err());
        assert!(measurements(&[]).is_err());
    }

    #[test]
    fn a_row_without_an_exit_is_refused() {
        let is_hosts = |line: &&String| line.starts_with("PSW=");
        let lines: Vec<_> = trace(1000)
            .into_iter()
            .filter(|line| !is_hosts(&line))
            .collect();
        assert!(measurements(&lines).is_err());
    }
}
