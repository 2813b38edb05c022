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

/// Returns the areas for contiguous requests: large pages, from a large page on, of the machine's memory.
pub(super) fn areas(source: &SystemSource, facts: &Facts) -> Result<Vec<Area>, Problem> {
    let mut areas: Vec<Area> = Vec::new();
    for spanned in &source.area {
        let place = || Place::Span(spanned.span());
        let source = spanned.get_ref();
        let bytes = whole("size of an area", source.size, LARGE_PAGE, place())?.bytes();
        if let Some(base) = source.base.filter(|base| *base != 0) {
            whole(
                "base of an area",
                Size::from_bytes(base),
                LARGE_PAGE,
                place(),
            )?;
        }
        let area = Area {
            base: source.base,
            bytes,
        };
        check_area(&areas, &area, facts).map_err(|reason| reason.at_place(place()))?;
        areas.push(area);
    }
    Ok(areas)
}

/// Checks that the machine has the memory of an area, and that no area before it has some of that. Where
/// memory is not in a row, only the memory server can tell what lies where.
fn check_area(before: &[Area], area: &Area, facts: &Facts) -> Result<(), Reason> {
    let machine = facts.machine;
    let memory = facts.memory.bytes();
    let outside = |range: String| Reason::AreaOutsideMemory {
        area: before.len(),
        range,
    };
    let all: u64 = before.iter().map(|area| area.bytes).sum();
    if all.saturating_add(area.bytes) > memory {
        return Err(outside(format!("{} bytes", area.bytes)));
    }
    let Some(base) = area.base else {
        return Ok(());
    };
    let end = base.saturating_add(area.bytes);
    let is_in_a_row = memory <= machine.memory_in_a_row;
    if base < machine.memory_base || (is_in_a_row && end - machine.memory_base > memory) {
        return Err(outside(format!("{base:#x} to {end:#x}")));
    }
    let overlaps = |other: &Area| {
        let start = other.base?;
        Some(start < end && base < start + other.bytes)
    };
    let other = before.iter().position(|area| overlaps(area) == Some(true));
    other.map_or(Ok(()), |other| {
        Err(Reason::OverlappingAreas {
            area: before.len(),
            other,
        })
    })
}
