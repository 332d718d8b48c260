//! Medians and spreads over the rounds of a run.

use serde::Serialize;

/// One number over several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` for no values at all.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values)?,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// The middle value, or the mean of the two in the middle; `None` for no values at all.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// About three digits.
pub(crate) fn short(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// [`short`] in thousands or millions where it is as many.
pub(crate) fn shorter(value: f64) -> String {
    match value {
        ..1e3 => short(value),
        ..1e6 => format!("{}k", short(value / 1e3)),
        _ => format!("{}M", short(value / 1e6)),
    }
}

/// Two digits, however small it is: [`short`] where that shows them.
pub(crate) fn fine(value: f64) -> String {
    if value == 0.0 || value >= 0.1 {
        return short(value);
    }
    let zeros = -value.log10().floor();
    format!("{value:.*}", (zeros as usize + 1).min(FINE_DIGITS_MAX))
}

/// What is smaller is nothing.
const FINE_DIGITS_MAX: usize = 6;

/// One digit after the point.
pub(crate) fn one_decimal(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn spread_holds_the_extremes() {
        let spread = Spread::of(&[2.0, 8.0, 4.0]).unwrap();
        assert_eq!(
            spread,
            Spread {
                median: 4.0,
                min: 2.0,
                max: 8.0
            }
        );
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn numbers_keep_about_three_digits() {
        assert_eq!(
            [0.0512, 2.845, 14.73, 2_680.4].map(short),
            ["0.051", "2.85", "14.7", "2680"]
        );
    }

    #[test]
    fn small_numbers_keep_two_digits() {
        assert_eq!(
            [0.0, 0.000_012_4, 0.0051, 0.25, 7.0, 1e-9].map(fine),
            ["0.000", "0.000012", "0.0051", "0.250", "7.00", "0.000000"]
        );
    }

    #[test]
    fn large_numbers_have_a_letter() {
        assert_eq!(
            [7.0, 999.0, 1_234.0, 162_400.0, 15_310_000.0].map(shorter),
            ["7.00", "999", "1.23k", "162k", "15.3M"]
        );
    }
}
