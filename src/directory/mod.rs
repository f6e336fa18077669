//! The directory (paper section 3): the location pointer cache, what of it is propagated to which parent, how matches
//! are ranked, and who may publish. State and decisions only; messages are the node's.
//!
//! Differences from the paper: an object's first entries are propagated at once instead of with the next period (three
//! hops of a period are longer than a small download); a withdrawn entry leaves a short-lived tombstone, so that copies
//! still under way do not bring it back; and a period's "one message" is as many datagrams as the byte budget of the
//! parent allows.

pub(crate) mod answers;
pub(crate) mod cache;
pub(crate) mod hot;
pub(crate) mod parents;
mod pointers;
pub(crate) mod rank;
pub(crate) mod score;
pub(crate) mod token;

#[cfg(test)]
mod rank_tests;
#[cfg(test)]
mod tests;
