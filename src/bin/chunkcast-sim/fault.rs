//! Why nothing came out, and how arguments are read.

use std::num::NonZeroUsize;
use std::time::Duration;

/// One line for the user.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    /// The arguments are not as they must be: exit code 2, as clap's.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        Self::Failed(message.to_owned())
    }
}

/// A duration of up to a week, given in seconds.
pub(crate) fn seconds(name: &str, s: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(s)
        .ok()
        .filter(|d| *d <= Duration::from_secs(7 * 86_400))
        .ok_or_else(|| format!("--{name} is out of range: up to a week is simulated"))
}

/// Runs at the same time: as many as asked for, else the machine's threads.
pub(crate) fn at_a_time(jobs: Option<NonZeroUsize>) -> usize {
    let jobs = jobs.map_or_else(std::thread::available_parallelism, Ok);
    jobs.map_or(1, NonZeroUsize::get)
}

/// The items of a comma list, each once, in the order in which they are named.
///
/// # Errors
/// [`Fault::Usage`] names the option, the item that `read` does not know, and what `valid` says.
pub(crate) fn list<T: PartialEq>(
    option: &str,
    text: &str,
    valid: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Fault> {
    let mut items = Vec::new();
    for name in text.split(',').map(str::trim) {
        let item = read(name).ok_or_else(|| {
            Fault::Usage(format!(
                "{option}: `{name}` is not one of them; valid: {valid}"
            ))
        })?;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_its_order_and_each_item_once() {
        let read = |s: &str| s.parse().ok();
        assert_eq!(list("--slots", "6, 0,6", "numbers", read), Ok(vec![6, 0]));
    }

    #[test]
    fn what_is_not_known_is_named_with_what_is() {
        for (text, name) in [("1,x", "x"), ("", ""), ("1,,2", "")] {
            let fault = list("--slots", text, "numbers", |s| s.parse::<u8>().ok());
            let message = format!("--slots: `{name}` is not one of them; valid: numbers");
            assert_eq!(fault, Err(Fault::Usage(message)));
        }
    }
}
