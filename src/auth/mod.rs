//! Who may do what (the paper leaves security open): the checks themselves, free of tables, messages and clocks.
//!
//! - [`seal`]: a closed network. One key; whatever does not carry its MAC, or was seen before, is dropped unparsed.
//! - [`proof`]: an open network. Entries are signed by their publishers, so that who forwards them cannot forge them.
//! - [`bep42`]: an open network. The id of an index node is bound to its IP address (BEP 42), so that nobody chooses
//!   the keys that it becomes the root of.
//! - [`rates`]: what one source may cost.
//!
//! Wall time is an argument everywhere: a [`Duration`] since 1970.

pub mod bep42;
pub mod proof;
pub mod rates;
pub mod seal;

mod hex;

use std::time::Duration;

/// How far clocks may differ before what they stamp is refused.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(600); // guess: a clock that nobody set is off by more
