//! To whom the entries of one object go: its parent, or from the root its two ring neighbours; and to whom they went
//! before, because a withdrawal has to reach those as well.

use crate::id::Id;

/// Nodes that are remembered for one object; a bit each in an entry's masks.
const LINKS: usize = 8; // guess: two, and as many former ones as tables change within a lifetime

/// One bit a link.
pub(crate) type Mask = u8;

#[derive(Clone, Copy, Debug)]
struct Link {
    id: Id,
    current: bool,
}

/// The links of an object. A link keeps its bit for as long as it is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    links: Vec<Link>,
    /// They were looked up at least once.
    pub(crate) found: bool,
}

impl Links {
    /// The bit of this node; 0 if it is no link.
    pub(crate) fn bit(&self, id: &Id) -> Mask {
        self.links
            .iter()
            .position(|l| l.id == *id)
            .map_or(0, |n| 1 << n)
    }

    /// The bits of those that entries go to; of all for a withdrawn entry.
    pub(crate) fn mask(&self, withdrawn: bool) -> Mask {
        self.links
            .iter()
            .enumerate()
            .filter(|(_, l)| l.current || withdrawn)
            .fold(0, |mask, (n, _)| mask | 1 << n)
    }

    /// The nodes of these bits.
    pub(crate) fn ids(&self, mask: Mask) -> impl Iterator<Item = Id> + '_ {
        self.links
            .iter()
            .enumerate()
            .filter(move |(n, _)| mask >> n & 1 == 1)
            .map(|(_, l)| l.id)
    }

    /// Entries go to these nodes from now on. Returns the bits of those that were not meant before: they are to be told
    /// everything.
    pub(crate) fn set(&mut self, ids: &[Id]) -> Mask {
        self.found = true;
        for link in &mut self.links {
            link.current &= ids.contains(&link.id);
        }
        let mut news = 0;
        for id in ids {
            let known = self.links.iter().position(|l| l.id == *id);
            if known.is_some_and(|n| self.links[n].current) {
                continue;
            }
            let link = Link {
                id: *id,
                current: true,
            };
            let n = match known.or_else(|| self.free()) {
                Some(n) => {
                    self.links[n] = link;
                    n
                }
                None => {
                    self.links.push(link);
                    self.links.len() - 1
                }
            };
            news |= 1 << n;
        }
        news
    }

    /// The place of a former link, once there are enough.
    fn free(&self) -> Option<usize> {
        (self.links.len() >= LINKS)
            .then(|| self.links.iter().position(|l| !l.current))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> Id {
        Id([n; 20])
    }

    #[test]
    fn a_former_link_hears_of_withdrawals_only_and_of_everything_when_it_is_back() {
        let mut links = Links::default();
        let first = links.set(&[id(1)]);
        assert_eq!((links.mask(false), links.mask(true)), (first, first));
        let second = links.set(&[id(2), id(3)]);
        assert_eq!(second.count_ones(), 2);
        assert_eq!(
            (links.mask(false), links.mask(true)),
            (second, first | second)
        );
        assert_eq!(links.ids(first).collect::<Vec<_>>(), [id(1)]);
        assert_eq!(links.set(&[id(3), id(1)]), first);
        assert_eq!(links.set(&[id(3), id(1)]), 0);
        assert_eq!(links.bit(&id(9)), 0);
    }

    #[test]
    fn however_often_the_tables_change_the_masks_suffice() {
        let mut links = Links::default();
        for n in 0..100 {
            let news = links.set(&[id(n), id(n + 1)]);
            assert_eq!(
                links.ids(links.mask(false)).count(),
                2,
                "two of them after {n}"
            );
            assert!(news & links.bit(&id(n + 1)) != 0);
            assert!(links.links.len() <= LINKS);
        }
    }
}
