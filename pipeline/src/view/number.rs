//! Numbers for people: thousands apart, shares, sizes, times.

use indicatif::HumanCount;

/// Space that does not break, between a number and its unit.
const NBSP: char = '\u{a0}';

/// A count with thousands apart: `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    HumanCount(n).to_string()
}

/// A count with three digits and a letter: `1.23 M`; small ones in full.
pub(crate) fn short(n: u64) -> String {
    const STEPS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (10_000, "k"),
    ];
    for (from, letter) in STEPS {
        if n >= from {
            let unit = if letter == "k" { 1000 } else { from };
            return format!("{}{NBSP}{letter}", three_digits(n as f64 / unit as f64));
        }
    }
    thousands(n)
}

/// `part` of `whole`, from 0 to 1; 0 of nothing.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The share of `part` in `whole`: `80.2 %`. A small share keeps one digit that is not 0; only all is `100 %`, and only
/// nothing `0 %`.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let percent = ratio(part, whole) * 100.0;
    if part == whole {
        format!("100{NBSP}%")
    } else if part == 0 {
        format!("0{NBSP}%")
    } else if percent < 0.001 {
        format!("<{NBSP}0.001{NBSP}%")
    } else if percent < 0.0095 {
        format!("{percent:.3}{NBSP}%")
    } else if percent < 0.095 {
        format!("{percent:.2}{NBSP}%")
    } else if percent > 99.9 {
        format!("{:.2}{NBSP}%", percent.min(99.99))
    } else {
        format!("{percent:.1}{NBSP}%")
    }
}

/// A size in bytes, in powers of ten: `62.1 MB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{n}{NBSP}B")
    } else {
        format!("{}{NBSP}{}", three_digits(value), UNITS[unit])
    }
}

/// A time given in seconds: `2.16 s`, `3 min 20 s`, `2 h 15 min`.
pub(crate) fn seconds(s: f64) -> String {
    if s < 0.001 {
        format!("{:.0}{NBSP}µs", s * 1e6)
    } else if s < 1.0 {
        format!("{}{NBSP}ms", three_digits(s * 1e3))
    } else if s < 100.0 {
        format!("{}{NBSP}s", three_digits(s))
    } else {
        let whole = s.round() as u64;
        let (h, min, s) = (whole / 3600, whole / 60 % 60, whole % 60);
        if h > 0 {
            format!("{}{NBSP}h {min}{NBSP}min", thousands(h))
        } else {
            format!("{min}{NBSP}min {s}{NBSP}s")
        }
    }
}

/// An edge of a bin or a constant of a recipe, without needless digits.
pub(crate) fn plain(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() < 1e15 {
        let whole = thousands(x.abs() as u64);
        if x < 0.0 { format!("−{whole}") } else { whole }
    } else {
        let digits = format!("{x:.4}");
        digits.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// An edge of a bin, for an axis: `20k`.
pub(crate) fn tick(x: f64) -> String {
    let steps = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    for (from, letter) in steps {
        if x.abs() >= from {
            let digits = format!("{:.1}", x / from);
            return format!("{}{letter}", digits.trim_end_matches(".0"));
        }
    }
    plain(x)
}

/// A coordinate of a drawing, with at most two digits after the point.
pub(crate) fn px(x: f64) -> String {
    let digits = format!("{x:.2}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A count with its noun: `1 page`, `2 pages`.
pub(crate) fn of(n: u64, one: &str, many: &str) -> String {
    format!("{}{NBSP}{}", thousands(n), if n == 1 { one } else { many })
}

fn three_digits(x: f64) -> String {
    if x < 9.995 {
        format!("{x:.2}")
    } else if x < 99.95 {
        format!("{x:.1}")
    } else {
        format!("{x:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(short(9_999), "9,999");
        assert_eq!(short(12_345), "12.3\u{a0}k");
        assert_eq!(short(12_345_678), "12.3\u{a0}M");
    }

    #[test]
    fn shares_never_round_to_all_or_nothing() {
        assert_eq!(percent(1, 0), "–");
        assert_eq!(percent(0, 9), "0\u{a0}%");
        assert_eq!(percent(9, 9), "100\u{a0}%");
        assert_eq!(percent(1, 1_000_000_000), "<\u{a0}0.001\u{a0}%");
        assert_eq!(percent(1, 3_000), "0.03\u{a0}%");
        assert_eq!(percent(999_999, 1_000_000), "99.99\u{a0}%");
        assert_eq!(percent(802, 1000), "80.2\u{a0}%");
    }

    #[test]
    fn sizes_and_times_have_three_digits() {
        assert_eq!(bytes(12), "12\u{a0}B");
        assert_eq!(bytes(999_900), "1.00\u{a0}MB");
        assert_eq!(bytes(62_100_000), "62.1\u{a0}MB");
        assert_eq!(seconds(0.0005), "500\u{a0}µs");
        assert_eq!(seconds(2.164), "2.16\u{a0}s");
        assert_eq!(seconds(200.0), "3\u{a0}min 20\u{a0}s");
        assert_eq!(seconds(8123.4), "2\u{a0}h 15\u{a0}min");
    }

    #[test]
    fn edges_are_short() {
        assert_eq!(plain(0.99), "0.99");
        assert_eq!(plain(190_000.0), "190,000");
        assert_eq!(tick(2500.0), "2.5k");
        assert_eq!(tick(100.0), "100");
        assert_eq!(of(1, "page", "pages"), "1\u{a0}page");
    }
}
