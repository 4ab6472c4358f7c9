//! The speed over time, as a picture with the same in words.

use askama::Template;

use crate::engine::report::Report;
use crate::show::numbers::{bytes, duration, rate};
use crate::web::live::{Sample, Shown};
use crate::web::page::Part;

/// The picture, in units of its own.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;
/// How many columns it has at most; a column is the mean of what it covers.
const COLUMNS: usize = 120;

#[derive(Template)]
#[template(path = "copy/chart.html")]
struct Chart {
    line: String,
    area: String,
    top: String,
    words: String,
    from: String,
}

/// Mean speeds, as (seconds from the first sample, bytes in a second).
fn speeds(samples: &[Sample]) -> Vec<(f64, f64)> {
    let step = samples.len().div_ceil(COLUMNS).max(1);
    let some: Vec<&Sample> = samples.iter().step_by(step).collect();
    let Some(first) = some.first() else { return Vec::new() };
    let speed = |pair: &[&Sample]| {
        let [before, after] = pair else { return None };
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        // A pause of the copy is no speed.
        let gap = seconds > 30.0 * step as f64;
        let speed = if gap { 0.0 } else { after.bytes.saturating_sub(before.bytes) as f64 / seconds };
        (seconds > 0.0).then(|| (after.at.duration_since(first.at).as_secs_f64(), speed))
    };
    some.windows(2).filter_map(speed).collect()
}

/// The part; empty while there is nothing to draw.
///
/// # Errors
/// A fault of this program.
pub fn chart(shown: &Shown) -> Result<Part, Report> {
    let samples: Vec<Sample> = shown.samples.iter().copied().collect();
    let speeds = speeds(&samples);
    let most = speeds.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
    let (Some(first), Some(last)) = (speeds.first(), speeds.last()) else { return Ok(Part { id: "chart", html: String::new() }) };
    if speeds.len() < 2 || most <= 0.0 {
        return Ok(Part { id: "chart", html: String::new() });
    }
    let span = (last.0 - first.0).max(1.0);
    let point =
        |(at, speed): &(f64, f64)| format!("{:.1},{:.1}", (at - first.0) / span * WIDTH, HEIGHT - speed / most * (HEIGHT - 6.0));
    let line = speeds.iter().map(point).collect::<Vec<_>>().join(" ");
    let area = format!("0,{HEIGHT} {line} {WIDTH},{HEIGHT}");
    let mean = samples.last().map_or(0, |end| end.bytes).saturating_sub(samples.first().map_or(0, |start| start.bytes));
    let lately = if last.1 > 0.0 { format!(", lately {}", rate(last.1)) } else { String::new() };
    let words =
        format!("{} in {}; at most {}{lately}.", bytes(mean), duration(std::time::Duration::from_secs_f64(span)), rate(most));
    let from = duration(std::time::Duration::from_secs_f64(span));
    Part::new("chart", &Chart { line, area, top: rate(most), words, from })
}
