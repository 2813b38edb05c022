//! Lengths of files, and how much code the kernel and the machines have; lengths of functions are
//! clippy's.
//!
//! Code is what is neither blank, nor a comment, nor a test. The portable kernel is the crate
//! `kernel` without its fake machine; its arena and its contract with user land are counted apart.
//! A machine is its image and its register layouts; what its `boot/` folder has is counted apart.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::workspace::Workspace;

use super::{Report, sources};

/// The length that a file should have at most.
const AIM: usize = 300;
/// The length that a file must have at most.
const LIMIT: usize = 600;

/// Code that has a limit: its name, its folders, those inside of them that do not count, the limit.
///
/// Fast paths are counted apart: they do again what the portable kernel does without them. Exits that
/// are forwarded, and the pins and notes of devices' servers, are 40 lines of them, what is mapped and
/// unmapped 250, lines and registers of vCPUs 45.
const LIMITS: [(&str, &[&str], &[&str], usize); 10] = [
    (
        "portable kernel",
        &["kernel/src/"],
        &["kernel/src/fake/", "kernel/src/fast/"],
        6000,
    ),
    ("fast paths", &["kernel/src/fast/"], &[], 1080),
    (
        "arena",
        &["kernel/arena/src/"],
        &["kernel/arena/src/tests.rs", "kernel/arena/src/host.rs"],
        650,
    ),
    ("abi", &["kernel/abi/src/"], &[], 750),
    (
        "bsp/riscv",
        &["bsp/riscv/src/", "bsp/riscv/regs/src/"],
        &["bsp/riscv/src/boot/"],
        4500,
    ),
    (
        "bsp/x86",
        &["bsp/x86/src/", "bsp/x86/regs/src/"],
        &["bsp/x86/src/boot/"],
        4500,
    ),
    (
        "bsp/s390",
        &["bsp/s390/src/", "bsp/s390/regs/src/"],
        &["bsp/s390/src/boot/"],
        4500,
    ),
    ("bsp/riscv/src/boot", &["bsp/riscv/src/boot/"], &[], 1500),
    (
        "bsp/x86/src/boot",
        &["bsp/x86/src/boot/", "bsp/x86/loader/src/"],
        &[],
        1500,
    ),
    ("bsp/s390/src/boot", &["bsp/s390/src/boot/"], &[], 1500),
];

/// Checks the length of every source and the amount of code, and counts lines by folder.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    let mut sums = [("kernel", 0), ("servers", 0), ("bsp", 0), ("tools", 0)];
    let mut amounts = [0; LIMITS.len()];
    let mut above = 0;
    for file in sources::rust_files(workspace.root())? {
        let shown = sources::relative(workspace.root(), &file);
        let text = fs::read_to_string(&file)?;
        let lines = text.lines().count();
        for (folder, sum) in &mut sums {
            if Path::new(&shown).starts_with(folder) {
                *sum += lines;
            }
        }
        for ((_, folders, not, _), amount) in LIMITS.iter().zip(&mut amounts) {
            let within = |folders: &[&str]| folders.iter().any(|folder| shown.starts_with(folder));
            if within(folders) && !within(not) {
                *amount += code_lines(&text);
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
    for ((name, _, _, limit), amount) in LIMITS.iter().zip(amounts) {
        judge(&mut report, name, amount, *limit);
    }
    let parts: Vec<_> = sums
        .iter()
        .map(|(folder, sum)| format!("{folder} {sum}"))
        .collect();
    report.notes.push(format!(
        "all lines: {}; {above} files above {AIM}",
        parts.join(", ")
    ));
    Ok(report)
}

/// Says how much code something has; what is not there is not said.
fn judge(report: &mut Report, name: &str, amount: usize, limit: usize) {
    let line = format!("{name}: {amount} of {limit} lines of code");
    if amount > limit {
        report.wrong.push(line);
    } else if amount > 0 {
        report.notes.push(line);
    }
}

/// Returns the number of lines of a formatted source that are code: neither blank, nor a comment,
/// nor in a module for tests.
fn code_lines(text: &str) -> usize {
    let mut lines = text.lines();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line == "#[cfg(test)]" {
            // What follows ends on its own line, or where a brace closes in the first column.
            if lines.next().is_some_and(|item| item.ends_with('{')) {
                lines.find(|line| *line == "}");
            }
        } else if !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_neither_comment_nor_test() {
        let text = "//! A.\n\nuse a;\n#[cfg(test)]\nmod tests;\n\n/// B.\nfn b() {\n    // c\n    c();\n}\n\n#[cfg(test)]\nmod more {\n    fn d() {}\n}\nconst E: u8 = 1;\n";
        assert_eq!(code_lines(text), 5);
        assert_eq!(code_lines(""), 0);
    }

    #[test]
    fn too_much_code_is_wrong() {
        let mut report = Report::default();
        judge(&mut report, "a", 10, 10);
        judge(&mut report, "b", 0, 10);
        assert!(report.wrong.is_empty());
        judge(&mut report, "c", 11, 10);
        assert_eq!(report.wrong, ["c: 11 of 10 lines of code"]);
        assert_eq!(report.notes, ["a: 10 of 10 lines of code"]);
    }
}
