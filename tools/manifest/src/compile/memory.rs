//! The sum of all memory fits the machine.

use crate::compiled::Guest;
use crate::refusal::{Place, Problem, Reason};
use crate::size::Size;

use super::facts::Facts;
use super::processes::Draft;

/// Checks that all processes and guests fit the machine's memory together.
pub(super) fn check(
    drafts: &[Draft<'_>],
    guests: &[(Place, Guest)],
    facts: &Facts,
) -> Result<(), Problem> {
    let processes = drafts.iter().map(|draft| {
        let process = &draft.process;
        let stacks = process.stack.saturating_mul(process.cores.len() as u64);
        (
            &draft.place,
            &process.name,
            process.memory.saturating_add(stacks),
        )
    });
    let guests = guests
        .iter()
        .map(|(place, guest)| (place, &guest.name, guest.memory));
    let mut sum = 0_u64;
    for (place, name, bytes) in processes.chain(guests) {
        sum = sum.saturating_add(bytes);
        if sum > facts.memory.bytes() {
            let needed = Size::from_bytes(sum);
            let reason = Reason::TooMuchMemory {
                name: name.clone(),
                needed,
                has: facts.memory,
            };
            return Err(reason.at_place(place.clone()));
        }
    }
    Ok(())
}
