//! What other systems need for the same, and our own budgets.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The figures.
const PEERS: &str = include_str!("peers.toml");

/// A figure for each machine that has one.
type ByMachine = BTreeMap<String, u64>;

/// The file with the figures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peers {
    row: Vec<Row>,
}

/// One row of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Name of the measurement.
    pub name: String,
    /// What it is.
    pub title: String,
    #[serde(default)]
    budget: ByMachine,
    #[serde(default)]
    sel4: ByMachine,
    #[serde(default)]
    kvm: ByMachine,
}

/// What a row has for one machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The most that ours may be.
    pub budget: Option<u64>,
    /// What seL4 needs.
    pub sel4: Option<u64>,
    /// What KVM needs.
    pub kvm: Option<u64>,
}

impl Row {
    /// Returns what it has for a machine, by the name of its family.
    pub fn figures(&self, machine: &str) -> Figures {
        let of = |figures: &ByMachine| figures.get(machine).copied();
        Figures {
            budget: of(&self.budget),
            sel4: of(&self.sel4),
            kvm: of(&self.kvm),
        }
    }
}

/// Returns all rows in their order.
pub fn rows() -> Result<Vec<Row>> {
    let peers: Peers = toml::from_str(PEERS).context("peers.toml")?;
    Ok(peers.row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    #[test]
    fn every_name_is_there_once() {
        let rows = rows().expect("parses");
        let mut names: Vec<_> = rows.iter().map(|row| &row.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), rows.len());
    }

    #[test]
    fn figures_are_those_of_machines_that_there_are() {
        for row in rows().expect("parses") {
            for machine in row
                .budget
                .keys()
                .chain(row.sel4.keys())
                .chain(row.kvm.keys())
            {
                assert!(Machine::find(machine).is_ok(), "{}: {machine}", row.name);
            }
        }
    }
}
