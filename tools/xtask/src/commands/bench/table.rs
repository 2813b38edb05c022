//! The table of measurements beside what others need.

use std::fmt::Write;

use anyhow::Result;

use ::trace::operation::Operations;

use super::measure::Measurement;
use super::peers::{self, Figures};

/// One line of the table: what it is, ours, and what others need.
#[derive(Debug)]
pub struct Line {
    /// What it is.
    pub title: String,
    /// What was measured.
    pub ours: Option<Measurement>,
    /// What others need, and the budget.
    pub figures: Figures,
}

/// Returns the lines for a machine, by the name of its family: known rows in their order, of which
/// those are left out for which nobody has a figure, then what else was measured.
pub fn lines(machine: &str, measurements: &[Measurement]) -> Result<Vec<Line>> {
    let rows = peers::rows()?;
    let is_new = |one: &&Measurement| !rows.iter().any(|row| row.name == one.name);
    let new = measurements.iter().filter(is_new).map(|one| Line {
        title: one.name.clone(),
        ours: Some(one.clone()),
        figures: Figures::default(),
    });
    let known = rows.iter().map(|row| Line {
        title: row.title.clone(),
        ours: measurements
            .iter()
            .find(|one| one.name == row.name)
            .cloned(),
        figures: row.figures(machine),
    });
    let has_any = |line: &Line| line.ours.is_some() || line.figures != Figures::default();
    Ok(known.filter(has_any).chain(new).collect())
}

/// Returns the table for a machine.
pub fn render(machine: &str, measurements: &[Measurement]) -> Result<String> {
    let mut table = String::new();
    let heads = ["Skerry", "budget", "seL4", "KVM"].map(str::to_owned);
    let kinds = Operations::NAMES.map(|name| name.replace('_', " "));
    write_line(&mut table, machine, heads, &operations(kinds, ""))?;
    for line in lines(machine, measurements)? {
        let Figures { budget, sel4, kvm } = line.figures;
        let ours = line.ours.as_ref();
        let numbers = [ours.map(|one| one.value), budget, sel4, kvm].map(cell);
        let unit = ours.map_or(String::new(), |one| one.unit.to_string());
        let traced = ours.and_then(|one| one.operations);
        let counts = traced.map(|found| found.numbers().map(|number| number.to_string()));
        let end = counts.map_or(unit.clone(), |counts| operations(counts, &unit));
        write_line(&mut table, &line.title, numbers, &end)?;
    }
    Ok(table)
}

/// Returns the unit and, behind it, a column for each kind of operations.
fn operations(cells: [String; 5], unit: &str) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:>12}")).collect();
    format!("{unit:12}{}", cells.concat())
}

/// Returns a number, or a dash where there is none.
fn cell(number: Option<u64>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

/// Adds one line.
fn write_line(table: &mut String, title: &str, cells: [String; 4], unit: &str) -> Result<()> {
    let [ours, budget, sel4, kvm] = cells;
    let text = format!("{title:58} {ours:>8} {budget:>8} {sel4:>8} {kvm:>8}  {unit}");
    writeln!(table, "{}", text.trim_end())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Unit;
    use super::*;

    /// Returns a measurement.
    fn one(name: &str) -> Measurement {
        Measurement {
            name: name.to_owned(),
            unit: Unit::Instructions,
            value: 77,
            operations: None,
        }
    }

    #[test]
    fn every_measurement_has_a_line_known_or_not() {
        let table = render("riscv", &[one("null_system_call"), one("brand_new")]).expect("renders");
        let known = table
            .lines()
            .find(|line| line.starts_with("null system call "))
            .expect("there");
        let words: Vec<_> = known.split_whitespace().collect();
        assert_eq!(words[3..], ["77", "40", "128", "-", "instructions"]);
        assert!(table.lines().any(|line| line.starts_with("brand_new")));
    }

    #[test]
    fn each_machine_has_its_own_figures() {
        let of = |machine| {
            let lines = lines(machine, &[one("null_system_call")]).expect("is good");
            (lines[0].figures.budget, lines[0].figures.sel4)
        };
        assert_eq!(of("x86"), (Some(30), Some(92)));
        assert_eq!(of("s390"), (Some(25), None));
    }

    #[test]
    fn a_row_without_a_figure_is_left_out() {
        let table = render("s390", &[]).expect("renders");
        assert!(!table.contains("Linux"), "{table}");
    }
}
