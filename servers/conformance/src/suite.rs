//! The run: set-up, one case after the other, the last line, the end of the machine.

use crate::case::{Case, Failure, Stop};
use crate::context::{
    CASE_MEMORY, CASE_ORDER, Context, FIRST_PAGE, FIRST_SLOT, PRIORITY, QUIET, QUIET_ENDPOINT,
    SUITE_MEMORY, read_write,
};
use crate::crew::{self, HELPERS, PAGES};
use abi::boot::{
    BootInfo, MESSAGE_PAGE, ORDINARY, SLOT_FIRMWARE, SLOT_FIRST_UNTYPED, SLOT_SPACE, SLOT_THREAD,
    UntypedRange,
};
use abi::{Error, ObjectKind, SlotAddress};
use rt::window::{self, Window};
use rt::{Capability, Firmware, Frame, Space, Thread, Untyped, log};

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Runs what the bundle asks for and switches the machine off.
pub fn run() -> ! {
    let failed = match rt::boot::info().map(prepare) {
        Some(Ok(info)) => match crate::races::parameters() {
            Some(parameters) => crate::races::run(info, parameters),
            None => run_cases(info),
        },
        Some(Err(error)) => {
            log!("conformance: set-up failed: {error:?}");
            true
        }
        None => true,
    };
    crew::report_stacks();
    let _ = Firmware::own(SLOT_FIRMWARE).shut_down(failed);
    rt::sys::halt()
}

/// The largest block of memory that is overwritten: the boot code is no larger.
const OVERWRITTEN: u64 = 1 << 16;

/// Divides the memory and maps the helpers' pages.
fn prepare(info: &'static BootInfo) -> Result<&'static BootInfo, Error> {
    Thread::own(SLOT_THREAD).set_priority(PRIORITY)?;
    let source = largest_untyped(info);
    let make = |kind, size, count, slot| source.retype(kind, size, count, SlotAddress::own(slot));
    make(ObjectKind::Untyped, CASE_ORDER, 1, CASE_MEMORY)?;
    make(ObjectKind::Untyped, 18, 1, SUITE_MEMORY)?;
    make(ObjectKind::Notification, 0, 2, QUIET)?;
    make(ObjectKind::Endpoint, 0, 1, QUIET_ENDPOINT)?;
    make(ObjectKind::Frame, 12, HELPERS as u64, FIRST_PAGE)?;
    let space = Space::own(SLOT_SPACE).capability();
    rt::memory::fund(space, Untyped::own(SUITE_MEMORY))?;
    overwrite_small_blocks(info)?;
    for number in 0..HELPERS as u32 {
        let address = PAGES + u64::from(number) * abi::PAGE_SIZE;
        Frame::own(FIRST_PAGE + number).map(space, address, read_write())?;
    }
    let (version, core) = rt::capability::identify_kernel()?;
    let cores = info.cores;
    log!("conformance: ABI {version}, core {core} of {cores}, message page {MESSAGE_PAGE:#x}");
    Ok(info)
}

/// Fills all small blocks of memory with what is no instruction on any machine: whatever comes
/// behind this shows that the kernel has no use for anything in them. The code that it only ran
/// before this process is there.
fn overwrite_small_blocks(info: &BootInfo) -> Result<(), Error> {
    let count = usize::try_from(info.untyped_count).unwrap_or(0);
    let blocks = info.untyped.iter().take(count).zip(SLOT_FIRST_UNTYPED..);
    let is_small = |range: &UntypedRange| range.kind == ORDINARY && range.length <= OVERWRITTEN;
    for (range, slot) in blocks.filter(|(range, _)| is_small(range)) {
        let (block, order) = (Untyped::own(slot), u64::from(range.length.ilog2()));
        let frame = block.retype(ObjectKind::Frame, order, 1, SlotAddress::own(FIRST_SLOT))?;
        let frame = Frame::at(frame.slot());
        let window = Window::map(frame, Space::own(SLOT_SPACE), window::FIRST, read_write())?;
        (0..window.words()).for_each(|index| window.store(index, u64::MAX));
        block.capability().revoke()?;
    }
    Ok(())
}

/// Returns the largest range of ordinary memory.
fn largest_untyped(info: &BootInfo) -> Untyped {
    let count = usize::try_from(info.untyped_count).unwrap_or(0);
    let ranges = info.untyped.iter().take(count).zip(SLOT_FIRST_UNTYPED..);
    let ordinary = ranges.filter(|(range, _)| range.kind == ORDINARY);
    let largest = ordinary.max_by_key(|(range, _)| range.length);
    Untyped::own(largest.map_or(SLOT_FIRST_UNTYPED, |(_, slot)| slot))
}

/// Runs every case and returns whether any failed.
fn run_cases(info: &'static BootInfo) -> bool {
    let mut tally = Tally::default();
    for case in crate::cases::all() {
        run_case(info, case, &mut tally);
    }
    let Tally {
        passed,
        failed,
        skipped,
    } = tally;
    log!("conformance: {passed} passed, {failed} failed, {skipped} skipped");
    failed > 0
}

/// Runs one case and prints its line.
fn run_case(info: &'static BootInfo, case: &Case, tally: &mut Tally) {
    let Case {
        call, error, name, ..
    } = case;
    match error {
        Some(error) => rt::log::write(format_args!("case {call:?} {error:?}: {name} ... ")),
        None => rt::log::write(format_args!("case {call:?}: {name} ... ")),
    }
    let context = Context::new(info);
    let outcome = (case.run)(&context);
    let outcome = outcome.and(clean_up(&context));
    rt::sys::mark();
    match outcome {
        Ok(()) => {
            tally.passed += 1;
            log!("ok");
        }
        Err(Stop::Skipped(reason)) => {
            tally.skipped += 1;
            log!("skipped {reason}");
        }
        Err(Stop::Failed(failure)) => {
            tally.failed += 1;
            print_failure(&failure);
        }
    }
}

/// Prints why a case failed.
fn print_failure(failure: &Failure) {
    let Failure {
        text,
        place,
        error,
        values,
    } = failure;
    rt::log::write(format_args!(
        "FAILED {}:{}: {text}",
        place.file(),
        place.line()
    ));
    if let Some(error) = error {
        rt::log::write(format_args!(" [{error:?}]"));
    }
    if let Some((left, right)) = values {
        rt::log::write(format_args!(" [{left:#x}, {right:#x}]"));
    }
    log!("");
}

/// Gives everything back that the case made; what is left over is a failure.
pub(crate) fn clean_up(context: &Context) -> Result<(), Stop> {
    crew::dismiss();
    let _ = rt::synchronization::reply(&rt::Outgoing::new(0));
    Untyped::own(CASE_MEMORY).capability().revoke()?;
    for slot in FIRST_SLOT..context.end_of_slots() {
        match Capability::own(slot).delete() {
            Ok(()) | Err(Error::NoCapability) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let left = Untyped::own(CASE_MEMORY).bytes_left()?;
    if left == 1 << CASE_ORDER {
        return Ok(());
    }
    Err(Stop::differ(
        "all memory is free again after a case",
        left,
        1 << CASE_ORDER,
    ))
}
