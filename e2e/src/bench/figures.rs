//! Numbers of several runs: their median, how they are written, and whether a target is reached.

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Goal {
    /// Whether a figure is there. Nothing is asserted: machines differ, and are shared.
    pub fn verdict(self, value: f64) -> &'static str {
        let reached = match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        };
        if reached { "reached" } else { "not reached" }
    }

    /// As text, for the table.
    pub fn text(self, unit: &str) -> String {
        let (sign, bound) = match self {
            Self::AtLeast(bound) => ("≥", bound),
            Self::AtMost(bound) => ("≤", bound),
        };
        let digits = if bound >= 10.0 { 0 } else { 2 };
        format!("{sign} {bound:.digits$}{unit}")
    }
}

/// The median; of an even number, the mean of the two in the middle. None of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(half.checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

/// The value that a part of the others is not above: `quantile(values, 0.99)`.
pub fn quantile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let wanted = part * values.len() as f64;
    // The first place at or above the wanted rank.
    let (_, value) = values
        .iter()
        .enumerate()
        .find(|(place, _)| (place + 1) as f64 >= wanted)?;
    Some(*value)
}

/// Three significant digits, or all before the point; thousands set apart.
pub fn show(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// As [`show`]; a dash where nothing was measured.
pub fn show_if(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

#[cfg(test)]
mod tests;
