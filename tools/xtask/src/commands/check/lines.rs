//! Lengths of files; lengths of functions are clippy's.

use std::fs;

use anyhow::Result;

use crate::workspace::Workspace;

use super::{Report, sources};

/// The length that a file should have at most.
const AIM: usize = 300;
/// The length that a file must have at most.
const LIMIT: usize = 600;

/// Checks the length of every source, and counts them by folder.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    let mut sums = [("kernel", 0), ("servers", 0), ("bsp", 0), ("tools", 0)];
    let mut above = 0;
    for file in sources::rust_files(workspace.root())? {
        let shown = sources::relative(workspace.root(), &file);
        let lines = fs::read_to_string(&file)?.lines().count();
        for (folder, sum) in &mut sums {
            if shown.starts_with(&format!("{folder}/")) {
                *sum += lines;
            }
        }
        if lines > LIMIT {
            report
                .wrong
                .push(format!("{shown} has {lines} lines, the limit is {LIMIT}"));
        } else if lines > AIM {
            above += 1;
        }
    }
    let parts: Vec<_> = sums
        .iter()
        .map(|(folder, sum)| format!("{folder} {sum}"))
        .collect();
    report.notes.push(format!(
        "lines: {}; {above} files above {AIM}",
        parts.join(", ")
    ));
    Ok(report)
}
