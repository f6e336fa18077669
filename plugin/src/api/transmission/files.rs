//! Which files are wanted and how much. Transmission has two answers for each file, whether it is wanted and its priority;
//! the daemon has one, so that the priority of a file that is not wanted is noted beside it.

use std::collections::BTreeMap;

use super::arguments::Arguments;
use super::error::{FILE_RANGE, RpcError};
use crate::daemon::{Priority, Summary};

/// Files of a torrent that is not known yet.
const MAX_FILES: usize = 1_000_000; // guess: more than the limit of values in a .torrent file leaves room for

/// What a torrent's files are to be.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// Those that differ from what holds without a word, or that were named.
    files: BTreeMap<usize, Choice>,
    /// Files that the request names.
    named: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Choice {
    wanted: bool,
    priority: Priority,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            wanted: true,
            priority: Priority::Normal,
        }
    }
}

/// The arguments in the order in which they are followed: of several that name a file the last counts.
const WANTED: [(&str, bool); 2] = [("files-unwanted", false), ("files-wanted", true)];
const PRIORITIES: [(&str, Priority); 3] = [
    ("priority-high", Priority::High),
    ("priority-low", Priority::Low),
    ("priority-normal", Priority::Normal),
];

impl Choices {
    /// What a request changes; `None`: nothing of files.
    pub(super) fn of(
        arguments: Arguments<'_>,
        torrent: &Summary,
    ) -> Result<Option<Self>, RpcError> {
        let names = WANTED.map(|(name, _)| name).into_iter();
        let mut names = names.chain(PRIORITIES.map(|(name, _)| name));
        if !names.any(|name| arguments.raw(name).is_some_and(|list| !list.is_null())) {
            return Ok(None);
        }
        let options = &torrent.options;
        let mut choices = Self::default();
        for (index, priority) in options.files.iter().enumerate() {
            let noted = options.noted.files.get(&index).copied();
            let wanted = *priority != Priority::Skip;
            let priority = match wanted {
                true => *priority,
                false => noted.unwrap_or_default(),
            };
            choices.files.insert(index, Choice { wanted, priority });
        }
        choices.follow(arguments, Some(torrent.files))?;
        Ok(Some(choices))
    }

    /// What a request says of a new torrent, whose files are not known here. Empty lists, "all" elsewhere, say nothing.
    pub(super) fn of_new(arguments: Arguments<'_>) -> Result<Self, RpcError> {
        let mut choices = Self::default();
        choices.follow(arguments, None)?;
        Ok(choices)
    }

    /// The files that were named, each with what it is to be.
    pub(super) fn changes(&self) -> Vec<(usize, Priority)> {
        let named = self.named.iter();
        let known = named.filter_map(|index| Some((*index, self.files.get(index)?)));
        let changes: BTreeMap<usize, Priority> = known
            .map(|(index, choice)| {
                let priority = match choice.wanted {
                    true => choice.priority,
                    false => Priority::Skip,
                };
                (index, priority)
            })
            .collect();
        changes.into_iter().collect()
    }

    /// The priorities of files that are not wanted.
    pub(super) fn noted(&self) -> BTreeMap<usize, Priority> {
        let files = self.files.iter();
        let noted = files.filter(|(_, c)| !c.wanted && c.priority != Priority::Normal);
        noted.map(|(index, c)| (*index, c.priority)).collect()
    }

    fn follow(&mut self, arguments: Arguments<'_>, files: Option<usize>) -> Result<(), RpcError> {
        for (name, wanted) in WANTED {
            for choice in self.named(arguments, name, files)? {
                self.files.entry(choice).or_default().wanted = wanted;
            }
        }
        for (name, priority) in PRIORITIES {
            for choice in self.named(arguments, name, files)? {
                self.files.entry(choice).or_default().priority = priority;
            }
        }
        Ok(())
    }

    /// The files of a list; an empty one is of all.
    fn named(
        &mut self,
        arguments: Arguments<'_>,
        name: &'static str,
        files: Option<usize>,
    ) -> Result<Vec<usize>, RpcError> {
        let Some(list) = arguments.integers(name)? else {
            return Ok(Vec::new());
        };
        let list = match list.is_empty() {
            true => (0..files.unwrap_or(0)).collect(),
            false => {
                let list = list.into_iter().map(|number| index(number, files));
                list.collect::<Result<Vec<_>, _>>()?
            }
        };
        self.named.extend(&list);
        Ok(list)
    }
}

/// A file's index.
fn index(number: i64, files: Option<usize>) -> Result<usize, RpcError> {
    let index = usize::try_from(number).map_err(|_| FILE_RANGE)?;
    match index < files.unwrap_or(MAX_FILES) {
        true => Ok(index),
        false => Err(FILE_RANGE),
    }
}
