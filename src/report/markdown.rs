//! The report as Markdown.

use crate::report::DayState;
use crate::report::document::Block;
use crate::report::plot::Lines;
use crate::stats::sparkline;

/// Writes the chapters.
pub fn markdown(title: &str, blocks: &[Block]) -> String {
    let mut text = format!("# {}\n", escaped(title));
    for block in blocks {
        text.push('\n');
        match block {
            Block::Heading(heading) => text.push_str(&format!("## {}\n", escaped(heading))),
            Block::Text(paragraph) => text.push_str(&format!("{}\n", escaped(paragraph))),
            Block::Table(head, rows) => table(head, rows, &mut text),
            Block::Lines(lines) => figure(lines, &mut text),
            Block::Calendar(rows) => calendar(rows, &mut text),
        }
    }
    text
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => {
                escaped.extend(['\\', character]);
            }
            '\n' | '\r' => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

fn table(head: &[&str], rows: &[Vec<String>], text: &mut String) {
    text.push_str(&format!("| {} |\n", head.join(" | ")));
    text.push_str(&format!("|{}\n", "---|".repeat(head.len())));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
}

fn figure(lines: &Lines, text: &mut String) {
    let rows = lines.series.iter().filter(|(_, points)| !points.is_empty());
    let rows: Vec<Vec<String>> = rows
        .map(|(name, points)| {
            let values: Vec<u64> = points
                .iter()
                .map(|(_, value)| (value * 1000.0) as u64)
                .collect();
            let last = points.last().map_or(0.0, |(_, value)| *value);
            vec![name.clone(), sparkline(&values), lines.shown(last)]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&format!("{}:\n\n", escaped(&lines.title)));
        table(&["Source", "In the month", "Last"], &rows, text);
    }
}

fn calendar(rows: &[(String, Vec<DayState>)], text: &mut String) {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, days)| vec![name.clone(), days.iter().map(|day| day.sign()).collect()])
        .collect();
    table(&["Source", "Day 1 to the last"], &rows, text);
}
