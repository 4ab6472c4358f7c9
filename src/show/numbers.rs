//! Numbers, units and names as people read them.

use std::time::Duration;

/// Shows control characters escaped.
pub fn clean(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// A whole number with thousands separators.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 table`, `41 tables`.
pub fn count(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// A size in binary units.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut size = value as f64 / 1024.0;
    let mut unit = 0;
    // What would be written as 1024.0 is written as 1.0 of the next unit.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A speed in binary units.
pub fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second.max(0.0) as u64))
}

/// Bytes in a time, as a speed; nothing if the time is too short to tell.
pub fn mean_rate(amount: u64, time: Duration) -> Option<String> {
    (time >= Duration::from_millis(100)).then(|| rate(amount as f64 / time.as_secs_f64()))
}

/// A time that something took.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.1} s", time.as_millis() as f64 / 1000.0),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How long something is likely to go on, as a band.
pub fn eta((low, high): (u64, u64)) -> String {
    let round = |seconds: u64| match seconds {
        0..60 => seconds,
        60..600 => seconds / 10 * 10,
        _ => seconds / 60 * 60,
    };
    let words = |seconds: u64| match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    };
    let (low, high) = (words(round(low)), words(round(high)));
    if low == high { format!("about {low} left") } else { format!("{low} to {high} left") }
}

/// How long something takes, as a band: `2 min to 10 min`.
pub fn duration_band(band: (u64, u64)) -> String {
    eta(band).trim_end_matches(" left").to_owned()
}

/// A share of the whole in percent; 100 only at the end.
pub fn percent(fraction: f64) -> String {
    format!("{:>3} %", (fraction.clamp(0.0, 1.0) * 100.0).floor() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 1_048_575, 1_048_576, 1_610_612_736, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "1.5 GiB", "16777216.0 TiB"]
        );
        assert_eq!(
            [850, 1500, 59_999, 61_000, 3_725_000].map(|ms| duration(Duration::from_millis(ms))),
            ["850 ms", "1.5 s", "59 s", "1 min 01 s", "1 h 02 min"]
        );
        assert_eq!(
            [(18, 25), (0, 0), (61, 69), (115, 240), (4000, 8000)].map(eta),
            [
                "18 s to 25 s left",
                "about 0 s left",
                "about 1 min left",
                "1 min 50 s to 4 min left",
                "1 h 06 min to 2 h 13 min left"
            ]
        );
        assert_eq!([0.0, 0.999, 1.0].map(percent), ["  0 %", " 99 %", "100 %"]);
        assert_eq!((count(1, "table", "tables"), count(2, "table", "tables")), ("1 table".into(), "2 tables".into()));
    }
}
