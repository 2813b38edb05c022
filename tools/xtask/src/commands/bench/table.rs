//! The table of measurements beside what others need.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::measure::Measurement;

/// Other systems' figures and our budgets.
const PEERS: &str = include_str!("peers.toml");

/// The file with the figures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peers {
    row: Vec<Row>,
}

/// One row of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    title: String,
    budget: Option<u64>,
    sel4: Option<u64>,
    kvm: Option<u64>,
}

/// Returns the table: known rows in their order, then what else was measured.
pub fn render(measurements: &[Measurement]) -> Result<String> {
    let peers: Peers = toml::from_str(PEERS).context("peers.toml")?;
    let mut table = String::new();
    line(
        &mut table,
        "",
        ["Skerry", "budget", "seL4", "KVM"].map(str::to_owned),
        "",
    )?;
    for row in &peers.row {
        let ours = measurements.iter().find(|one| one.name == row.name);
        let unit = ours.map_or(String::new(), |one| one.unit.to_string());
        let numbers = [ours.map(|one| one.value), row.budget, row.sel4, row.kvm].map(cell);
        line(&mut table, &row.title, numbers, &unit)?;
    }
    let is_new = |one: &&Measurement| !peers.row.iter().any(|row| row.name == one.name);
    for one in measurements.iter().filter(is_new) {
        let numbers = [Some(one.value), None, None, None].map(cell);
        line(&mut table, &one.name, numbers, &one.unit.to_string())?;
    }
    Ok(table)
}

/// Returns a number, or a dash where there is none.
fn cell(number: Option<u64>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// Adds one line.
fn line(table: &mut String, title: &str, cells: [String; 4], unit: &str) -> Result<()> {
    let [ours, budget, sel4, kvm] = cells;
    let text = format!("{title:58} {ours:>8} {budget:>8} {sel4:>8} {kvm:>8}  {unit}");
    writeln!(table, "{}", text.trim_end())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Unit;
    use super::*;

    #[test]
    fn every_measurement_has_a_line_known_or_not() {
        let one = |name: &str| Measurement {
            name: name.to_owned(),
            unit: Unit::Instructions,
            value: 77,
        };
        let table = render(&[one("null_system_call"), one("brand_new")]).expect("renders");
        let known = table
            .lines()
            .find(|line| line.starts_with("null system call"))
            .expect("there");
        let words: Vec<_> = known.split_whitespace().collect();
        assert_eq!(words[3..], ["77", "40", "128", "-", "instructions"]);
        assert!(table.lines().any(|line| line.starts_with("brand_new")));
    }

    #[test]
    fn every_name_of_the_table_is_there_once() {
        let peers: Peers = toml::from_str(PEERS).expect("parses");
        let mut names: Vec<_> = peers.row.iter().map(|row| &row.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), peers.row.len());
    }
}
