//! Numbers of a configuration that cannot be: one place that says which, wherever they were written.

use crate::Error;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Steps, epochs, documents: beyond this nothing is counted, and sums and products with small numbers stay in range.
pub(crate) const COUNT: u64 = 1 << 40;

/// Refuses a whole number outside of `range`.
pub(crate) fn whole<N>(key: &str, value: N, range: RangeInclusive<u64>) -> Result<(), Error>
where
    N: Copy + Display + TryInto<u64>,
{
    match value.try_into() {
        Ok(number) if range.contains(&number) => Ok(()),
        _ => Err(refuse(
            key,
            value,
            format!("must be {} to {}", range.start(), range.end()),
        )),
    }
}

/// Refuses a number that is not finite, or that does not hold what it `must`.
pub(crate) fn real(key: &str, value: impl Into<f64>, holds: impl Fn(f64) -> bool, must: &str) -> Result<(), Error> {
    let value = value.into();
    match value.is_finite() && holds(value) {
        true => Ok(()),
        false => Err(refuse(key, value, format!("must be finite and {must}"))),
    }
}

/// The error for `key`, which has this value.
pub(crate) fn refuse(key: &str, value: impl Display, problem: impl Into<String>) -> Error {
    Error::Value {
        key: key.to_owned(),
        value: value.to_string(),
        file: None,
        problem: problem.into(),
    }
}
