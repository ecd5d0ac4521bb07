//! Figures as SVG: no script, no style from elsewhere.

use crate::env::Timestamp;
use crate::report::DayState;
use crate::report::html::escaped;
use crate::units::{bytes, seconds};
use std::fmt::Write;
use std::time::Duration;

/// The lines of some sources over the days of a month.
pub struct Lines {
    /// What is shown.
    pub title: String,
    /// Whether values are seconds; else bytes.
    pub is_time: bool,
    /// Where the figure begins.
    pub from: Timestamp,
    /// Where it ends.
    pub to: Timestamp,
    /// The points of each source, in the order of time.
    pub series: Vec<(String, Vec<(Timestamp, f64)>)>,
}

/// Colours that most people tell apart: Okabe and Ito.
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555",
];

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 24.0;

/// Horizontal lines of a figure.
const STEPS: u32 = 4;

/// A day of the calendar, and the names beside it.
const CELL: f64 = 18.0;
const NAMES: f64 = 190.0;
const NAME_CHARS_MAX: usize = 26;

impl Lines {
    /// A value with its unit.
    pub fn shown(&self, value: f64) -> String {
        match self.is_time {
            true => seconds(Duration::try_from_secs_f64(value).unwrap_or_default()),
            false => bytes(value as u64),
        }
    }

    /// The figure; nothing where there is no point.
    pub fn svg(&self) -> String {
        let values = self.series.iter().flat_map(|(_, points)| points);
        let most = values.clone().map(|(_, value)| *value).fold(0.0, f64::max);
        if values.count() == 0 {
            return String::new();
        }
        let most = if most > 0.0 { most } else { 1.0 };
        let legend_lines = self.series.len().div_ceil(3) as f64;
        let height = HEIGHT + legend_lines * 18.0;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>",
            escaped(&self.title)
        );
        self.draw_grid(most, &mut svg);
        for (number, (name, points)) in self.series.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            self.draw_line(points, most, colour, &mut svg);
            let (x, y) = (
                LEFT + (number % 3) as f64 * 230.0,
                HEIGHT + 12.0 + (number / 3) as f64 * 18.0,
            );
            let _ = write!(
                svg,
                "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\">{}</text>",
                y - 9.0,
                x + 16.0,
                escaped(&short(name))
            );
        }
        svg.push_str("</svg>");
        svg
    }

    fn x(&self, moment: Timestamp) -> f64 {
        let whole = self.to.since(self.from).as_secs_f64().max(1.0);
        LEFT + moment.since(self.from).as_secs_f64() / whole * (WIDTH - LEFT - 10.0)
    }

    fn y(value: f64, most: f64) -> f64 {
        HEIGHT - BOTTOM - value / most * (HEIGHT - BOTTOM - TOP)
    }

    fn draw_grid(&self, most: f64, svg: &mut String) {
        for step in 0..=STEPS {
            let value = most * f64::from(step) / f64::from(STEPS);
            let y = Self::y(value, most);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"end\" x=\"{}\" y=\"{:.1}\">{}</text>",
                WIDTH - 10.0,
                LEFT - 6.0,
                y + 4.0,
                self.shown(value)
            );
        }
        let whole = self.to.since(self.from);
        let days = (whole.as_secs() + 43_200) / 86_400;
        for day in (0..days).step_by(5) {
            let at = self
                .from
                .after(whole * u32::try_from(day).unwrap_or(0) / u32::try_from(days).unwrap_or(1));
            let _ = write!(
                svg,
                "<text class=\"mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                self.x(at),
                HEIGHT - 6.0,
                day + 1
            );
        }
    }

    fn draw_line(&self, points: &[(Timestamp, f64)], most: f64, colour: &str, svg: &mut String) {
        let places: Vec<String> = points
            .iter()
            .map(|(moment, value)| format!("{:.1},{:.1}", self.x(*moment), Self::y(*value, most)))
            .collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            places.join(" ")
        );
        for (moment, value) in points {
            let (x, y) = (self.x(*moment), Self::y(*value, most));
            let _ = write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\" fill=\"{colour}\"><title>{}</title></circle>",
                self.shown(*value)
            );
        }
    }
}

fn short(name: &str) -> String {
    match name.chars().count() > NAME_CHARS_MAX {
        true => format!(
            "{}…",
            name.chars().take(NAME_CHARS_MAX - 1).collect::<String>()
        ),
        false => name.to_owned(),
    }
}

/// The days of each source as squares with a colour and a sign.
pub fn calendar(rows: &[(String, Vec<DayState>)]) -> String {
    let days = rows.iter().map(|(_, days)| days.len()).max().unwrap_or(0);
    let (width, height) = (
        NAMES + days as f64 * CELL + 4.0,
        20.0 + rows.len() as f64 * CELL + 4.0,
    );
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Calendar\"><title>Calendar</title>"
    );
    for day in 0..days {
        let x = NAMES + (day as f64 + 0.5) * CELL;
        let _ = write!(
            svg,
            "<text class=\"mid\" x=\"{x:.1}\" y=\"14\">{}</text>",
            day + 1
        );
    }
    for (number, (name, states)) in rows.iter().enumerate() {
        let y = 20.0 + number as f64 * CELL;
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{:.1}\">{}</text>",
            y + 13.0,
            escaped(&short(name))
        );
        for (day, state) in states.iter().enumerate() {
            let x = NAMES + day as f64 * CELL;
            let _ = write!(
                svg,
                "<rect class=\"{0}\" x=\"{1:.1}\" y=\"{2:.1}\" width=\"16\" height=\"16\" rx=\"2\"><title>{0}</title></rect>\
                 <text class=\"mid\" x=\"{3:.1}\" y=\"{4:.1}\">{5}</text>",
                state.name(),
                x,
                y,
                x + 8.0,
                y + 12.0,
                state.sign()
            );
        }
    }
    svg.push_str("</svg>");
    svg
}
