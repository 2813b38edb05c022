//! Mapping and unmapping pages of the space that is in use.

use crate::machine;
use crate::samples::ROUNDS;
use crate::stage::{Stage, counted, read_write};
use abi::{CallNumber, Error};

/// Where nothing else is mapped.
const FREE: u64 = 0x10_0000_0000;
/// Measures a frame of one page.
pub fn frames(stage: &Stage) -> Result<(), Error> {
    let frame = stage.frame(12)?;
    let neighbour = stage.frame(12)?;
    let space = stage.own_space().capability();
    neighbour.map(space, FREE, read_write())?;
    let rights = u64::from(read_write().into_bits());
    let map = |address| {
        counted(
            CallNumber::Map,
            [frame.bits(), space.bits(), address, rights],
        )
    };
    let unmap = || counted(CallNumber::Unmap, [frame.bits()]);
    let (mut mapped, mut unmapped) = (stage.samples(), stage.samples());
    for _ in 0..ROUNDS {
        let [before, after] = map(FREE + abi::PAGE_SIZE)?;
        mapped.add(before, after);
        let [before, after] = unmap()?;
        unmapped.add(before, after);
    }
    mapped.print("map_frame");
    unmapped.print("unmap_frame");
    let machine = machine::current();
    let mut samples = stage.samples();
    for round in 0..ROUNDS as u64 {
        let [before, after] = map(FREE + (1 + round % machine.tables) * machine.table_reach)?;
        samples.add(before, after);
        unmap()?;
    }
    samples.print("map_with_table");
    Ok(())
}
