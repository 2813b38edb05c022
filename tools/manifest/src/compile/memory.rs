//! The sum of all memory fits the machine, and areas are whole.

use crate::compiled::{Area, Guest};
use crate::refusal::{Place, Problem, Reason};
use crate::size::Size;
use crate::source::SystemSource;

use super::facts::{Facts, LARGE_PAGE, whole};
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
            process
                .memory
                .saturating_add(stacks)
                .saturating_add(process.quota),
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

/// Returns the areas for contiguous requests: large pages, from a large page on.
pub(super) fn areas(source: &SystemSource) -> Result<Vec<Area>, Problem> {
    let area = |area: &toml::Spanned<crate::source::AreaSource>| {
        let place = || Place::Span(area.span());
        let source = area.get_ref();
        let bytes = whole("size of an area", source.size, LARGE_PAGE, place())?.bytes();
        if let Some(base) = source.base.filter(|base| *base != 0) {
            whole(
                "base of an area",
                Size::from_bytes(base),
                LARGE_PAGE,
                place(),
            )?;
        }
        Ok(Area {
            base: source.base,
            bytes,
        })
    };
    source.area.iter().map(area).collect()
}
