//! What rows may not execute, whatever it costs.

use super::measure::Measurement;

/// The rows that flush translations, for that is what they are there for.
const MAY_FLUSH: [&str; 5] = [
    "map_frame",
    "unmap_frame",
    "map_with_table",
    "stage_2_fault",
    "remote_fence_to_self",
];
/// The rows of calls and replies, by how their names begin: they are of one core, which nobody else's
/// accesses have to be kept out of.
const NOT_ATOMIC: [&str; 4] = ["null_system_call", "call_reply", "stub_null", "stub_call"];
/// The rows in which the space stays the same, by how their names begin.
const ONE_SPACE: [&str; 5] = [
    "null_system_call",
    "signal_no_waiter",
    "stub_null",
    "stub_signal_no_waiter",
    "map",
];

/// Returns what measurements have that they may not have, as lines.
pub fn broken(machine: &str, measurements: &[Measurement]) -> Vec<String> {
    let mut broken = Vec::new();
    for one in measurements {
        let Some(found) = one.operations else {
            continue;
        };
        let begins = |names: &[&str]| names.iter().any(|name| one.name.starts_with(name));
        let laws = [
            ("flushes", found.flushes, !begins(&MAY_FLUSH)),
            ("atomic instructions", found.atomics, begins(&NOT_ATOMIC)),
            (
                "writes of the space",
                found.space_writes,
                begins(&ONE_SPACE),
            ),
        ];
        for (what, count, is_forbidden) in laws {
            if is_forbidden && count > 0 {
                broken.push(format!("{machine}: {}: {count} {what}", one.name));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::super::measure::Unit;
    use super::*;
    use ::trace::operation::Operations;

    /// Returns what is wrong with a row that has these operations.
    fn of(name: &str, numbers: [u64; 5]) -> Vec<String> {
        let one = Measurement {
            name: name.to_owned(),
            unit: Unit::Instructions,
            value: 100,
            operations: Some(Operations::from_numbers(numbers)),
        };
        broken("riscv", &[one])
    }

    #[test]
    fn a_call_flushes_nothing_and_is_not_atomic() {
        assert_eq!(of("call_reply_0_words", [18, 0, 2, 2, 0]), [""; 0]);
        let found = of("call_reply_0_words", [18, 1, 2, 2, 0]);
        assert_eq!(found, ["riscv: call_reply_0_words: 1 flushes"]);
        assert_eq!(of("call_reply_0_words", [18, 0, 2, 2, 3]).len(), 1);
        assert_eq!(of("stage_2_fault", [18, 1, 2, 2, 3]), [""; 0]);
    }

    #[test]
    fn the_space_is_not_written_where_it_stays() {
        assert_eq!(of("signal_no_waiter", [8, 0, 0, 1, 1]), [""; 0]);
        assert_eq!(of("signal_no_waiter", [8, 0, 1, 1, 1]).len(), 1);
    }
}
