//! `bench --html`: the measurements as a page that needs nothing else, drawn as bars.

use std::fmt::Write;

use ::trace::operation::Operations;
use anyhow::Result;

use super::Measured;
use super::measure::{Measurement, Unit};
use super::table::{self, Line};

/// Width of a drawing.
const WIDTH: u64 = 1000;
/// Where bars begin: titles are left of it.
const LEFT: u64 = 430;
/// Where the longest bar ends: its number is right of it.
const RIGHT: u64 = 910;
/// Height of a bar, and of the place that it takes.
const BAR: u64 = 12;
const STEP: u64 = 15;
/// Height between rows.
const GAP: u64 = 12;
/// Height of a budget's mark beyond the bars of its row.
const MARK: u64 = 3;

/// How the page looks.
const STYLE: &str = "\
:root{color-scheme:light dark;--text:#1a1a1a;--page:#fff;--soft:#667;--good:#0072b2;--bad:#d55e00;\
--sel4:#8a8f98;--kvm:#c3a600;--mark:#111}\
@media(prefers-color-scheme:dark){:root{--text:#e8e8e8;--page:#16181c;--soft:#9aa;--good:#56b4e9;\
--bad:#ff8a3d;--sel4:#7f858f;--kvm:#e0c633;--mark:#fff}}\
body{font:15px/1.45 system-ui,sans-serif;color:var(--text);background:var(--page);max-width:1040px;\
margin:2rem auto;padding:0 1rem}h1{font-size:1.6rem}h2{margin-top:2.2rem}p{color:var(--soft)}\
svg{width:100%;height:auto}text{font:13px system-ui,sans-serif;fill:var(--text)}\
text.number{font-size:11px;fill:var(--soft)}.good{fill:var(--good)}.bad{fill:var(--bad)}\
.sel4{fill:var(--sel4)}.kvm{fill:var(--kvm)}line{stroke:var(--mark);stroke-width:2;\
stroke-dasharray:3 2}.key{display:inline-block;width:1em;height:.8em;margin:0 .35em 0 1.2em}\
table{border-collapse:collapse}th{font-weight:normal;text-align:right;padding:.1em .8em}\
td{text-align:right;padding:.1em .8em;font-variant-numeric:tabular-nums}";

/// Returns the page.
pub fn page(measured: &[Measured]) -> Result<String> {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Skerry: what its paths take</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Skerry: what its paths take</h1>\n\
         <p>Instructions from the one that traps to the one behind it, counted under QEMU's icount. \
         Each row has a scale of its own.</p>\n<p>{}</p>\n",
        key()
    );
    for one in measured {
        let lines = table::lines(one.machine.name, &one.measurements)?;
        writeln!(page, "<h2>{}</h2>", escape(one.machine.name))?;
        page.push_str(&drawing(one.machine.name, &lines)?);
        page.push_str(&operations(&lines)?);
    }
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

/// Returns what the colours mean.
fn key() -> String {
    let entry = |name: &str, what: &str| {
        format!("<span class=\"key\" style=\"background:var(--{name})\"></span>{what}")
    };
    [
        entry("good", "Skerry"),
        entry("bad", "Skerry, above its budget"),
        entry("sel4", "seL4"),
        entry("kvm", "KVM"),
        "<span class=\"key\" style=\"border-left:2px dashed var(--mark);width:0\"></span>budget"
            .to_owned(),
    ]
    .concat()
}

/// A bar: its class, whose it is, how long.
type Bar = (&'static str, &'static str, u64);

/// Returns the bars of a row.
fn bars(line: &Line) -> Vec<Bar> {
    let fits = |ours: &Measurement| {
        line.figures
            .budget
            .is_none_or(|budget| ours.value <= budget)
    };
    let ours = line.ours.as_ref().map(|ours| {
        let class = if fits(ours) { "good" } else { "bad" };
        (class, "Skerry", ours.value)
    });
    let sel4 = line.figures.sel4.map(|value| ("sel4", "seL4", value));
    let kvm = line.figures.kvm.map(|value| ("kvm", "KVM", value));
    [ours, sel4, kvm].into_iter().flatten().collect()
}

/// Returns the drawing of a machine's rows.
fn drawing(machine: &str, lines: &[Line]) -> Result<String> {
    let mut body = String::new();
    let mut top = 4;
    for line in lines {
        top = row(&mut body, line, top)? + GAP;
    }
    Ok(format!(
        "<svg viewBox=\"0 0 {WIDTH} {top}\" role=\"img\" aria-label=\"Bars for {}\">\n{body}</svg>\n",
        escape(machine)
    ))
}

/// Draws a row from `top` on; returns where it ends.
fn row(body: &mut String, line: &Line, top: u64) -> Result<u64> {
    let bars = bars(line);
    let budget = line.figures.budget;
    let longest = bars.iter().map(|bar| bar.2).chain(budget).max();
    let length = |value: u64| value * (RIGHT - LEFT) / longest.unwrap_or(1).max(1);
    let bottom = top + STEP * (bars.len() as u64).max(1);
    let middle = (top + bottom) / 2 + 2;
    writeln!(
        body,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
        LEFT - 10,
        escape(&line.title)
    )?;
    for ((class, whose, value), y) in bars.iter().zip((top..).step_by(STEP as usize)) {
        let (width, end) = (length(*value).max(1), LEFT + length(*value) + 5);
        let what = format!("{whose}: {value}{}", unit(line));
        writeln!(
            body,
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"{BAR}\">\
             <title>{what}</title></rect>\
             <text class=\"number\" x=\"{end}\" y=\"{}\">{value}</text>",
            y + BAR - 2
        )?;
    }
    if bars.is_empty() {
        writeln!(
            body,
            "<text class=\"number\" x=\"{LEFT}\" y=\"{middle}\">not measured</text>"
        )?;
    }
    if let Some(budget) = budget {
        let x = LEFT + length(budget);
        writeln!(
            body,
            "<line x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"><title>budget: {budget}</title></line>",
            top - MARK,
            bottom - STEP + BAR + MARK
        )?;
    }
    Ok(bottom)
}

/// Returns a table of what is executed among the instructions of each row; nothing where no row was
/// traced.
fn operations(lines: &[Line]) -> Result<String> {
    let mut body = String::new();
    for line in lines {
        let Some(found) = line.ours.as_ref().and_then(|ours| ours.operations) else {
            continue;
        };
        write!(body, "<tr><th scope=\"row\">{}</th>", escape(&line.title))?;
        for number in found.numbers() {
            write!(body, "<td>{number}</td>")?;
        }
        body.push_str("</tr>\n");
    }
    if body.is_empty() {
        return Ok(body);
    }
    let heads = Operations::NAMES.map(|name| format!("<th>{}</th>", name.replace('_', " ")));
    Ok(format!(
        "<details><summary>Privileged and ordering instructions of each row</summary>\n\
         <table>\n<tr><th></th>{}</tr>\n{body}</table>\n</details>\n",
        heads.concat()
    ))
}

/// Returns the unit of a row as it is said behind a number.
fn unit(line: &Line) -> String {
    match line.ours.as_ref().map(|ours| ours.unit) {
        None | Some(Unit::Instructions) => " instructions".to_owned(),
        Some(unit) => format!(" {unit}"),
    }
}

/// Returns text as HTML has it.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    /// Returns the page of one measurement.
    fn of(name: &str, value: u64) -> String {
        let measurements = vec![Measurement {
            name: name.to_owned(),
            unit: Unit::Instructions,
            value,
            operations: None,
        }];
        let machine = Machine::find("riscv").expect("there is one");
        page(&[Measured {
            machine,
            measurements,
        }])
        .expect("is drawn")
    }

    #[test]
    fn ours_is_marked_where_it_is_above_its_budget() {
        assert!(of("null_system_call", 40).contains("class=\"good\""));
        assert!(!of("null_system_call", 40).contains("class=\"bad\""));
        assert!(of("null_system_call", 41).contains("class=\"bad\""));
    }

    #[test]
    fn a_page_asks_for_nothing_else() {
        let page = of("null_system_call", 40);
        for reference in ["http", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn names_are_text() {
        assert!(of("a<b&c", 1).contains("a&lt;b&amp;c"));
    }
}
