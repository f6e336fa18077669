//! The directory (paper section 3): the location pointer cache, what of it is propagated to which parent, how matches
//! are ranked, and who may publish. State and decisions only; messages are the node's.
//!
//! Differences from the paper: an object's first entries are propagated at once instead of with the next period (three
//! hops of a period are longer than a small download); a withdrawn entry leaves a tombstone that outlives its copies, so
//! that none brings it back; a period's "one message" is as many datagrams as the byte budget of the parent allows; of
//! an entry whose base the parent holds only the difference is sent; and the root's ring neighbours hold its entries too.

pub(crate) mod answers;
pub(crate) mod bases;
pub(crate) mod cache;
pub(crate) mod fresh;
pub(crate) mod hot;
pub(crate) mod links;
pub(crate) mod parents;
mod pointers;
pub(crate) mod rank;
pub(crate) mod score;
pub(crate) mod shares;
pub(crate) mod spread;
pub(crate) mod token;

pub use score::score;

#[cfg(test)]
mod rank_tests;
#[cfg(test)]
mod tests;
