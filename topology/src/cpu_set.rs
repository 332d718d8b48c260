//! A set of CPU numbers, in the notation that the kernel and `taskset` use.

use std::fmt;
use std::str::FromStr;

/// The largest CPU number that is accepted: Linux cannot be built for more CPUs than this.
pub(crate) const CPU_MAX: usize = 8191;

/// A set of CPU numbers, in ascending order.
///
/// Written and parsed as the kernel does it: `0-3,8`.
///
/// ```
/// use evenkeel_topology::CpuSet;
///
/// let cpus: CpuSet = [8, 0, 1, 2, 3].into_iter().collect();
/// assert_eq!(cpus.to_string(), "0-3,8");
/// assert_eq!("0-3,8".parse(), Ok(cpus));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CpuSet(Vec<usize>);

impl CpuSet {
    /// How many CPUs the set has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set has no CPU.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `cpu` is in the set.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }

    /// Those that are in `other` as well.
    #[must_use]
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        self.iter().filter(|cpu| other.contains(*cpu)).collect()
    }

    /// The CPUs, ascending.
    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    /// The CPUs, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut cpus: Vec<usize> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        Self(cpus)
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a + 1 == *b);
        for (i, run) in runs.enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match run {
                [only] => write!(f, "{comma}{only}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// A text is not a list of CPUs such as `0-3,8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCpuSetError(String);

impl fmt::Display for ParseCpuSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a list of CPUs such as \"0-3,8\" (CPU numbers end at {CPU_MAX})",
            self.0
        )
    }
}

impl std::error::Error for ParseCpuSetError {}

impl FromStr for CpuSet {
    type Err = ParseCpuSetError;

    /// Parses `0-3,8`. White space around it is ignored; an empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, ParseCpuSetError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let ranges: Option<Vec<_>> = text.split(',').map(parse_range).collect();
        let ranges = ranges.ok_or_else(|| ParseCpuSetError(text.to_owned()))?;
        Ok(ranges.into_iter().flatten().collect())
    }
}

fn parse_range(text: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last <= CPU_MAX).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sorted_and_has_each_cpu_once() {
        let cpus: CpuSet = [3, 1, 2, 1].into_iter().collect();
        assert_eq!(cpus.as_slice(), [1, 2, 3]);
        assert_eq!(cpus.len(), 3);
        assert!(cpus.contains(2) && !cpus.contains(0));
    }

    #[test]
    fn reads_back_what_it_writes() {
        for text in ["", "0", "0-1", "0-3,8", "1,3,5-6", "0,8191"] {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn accepts_the_newline_that_sysfs_ends_with() {
        assert_eq!("0-1\n".parse::<CpuSet>().unwrap().as_slice(), [0, 1]);
        assert!("\n".parse::<CpuSet>().unwrap().is_empty());
    }

    #[test]
    fn refuses_what_is_not_a_list() {
        for text in [
            "a",
            "0-",
            "-1",
            "3-1",
            "0,,1",
            "0-1-2",
            "8192",
            "0-4294967295",
        ] {
            let error = text.parse::<CpuSet>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
