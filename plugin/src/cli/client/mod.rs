//! The commands that ask a running daemon for something, over its `/api/v1`.

mod add;
mod api;
mod args;
mod change;
mod rows;
mod show;
mod which;

pub(super) use self::add::add;
pub(super) use self::args::{
    AddArgs, InfoArgs, LimitArgs, LsArgs, MoveArgs, PeersArgs, RmArgs, SelectArgs, SomeArgs,
    StartArgs,
};
pub(super) use self::change::{limit, pause, relocate, remove, select, start, verify};
pub(super) use self::show::{info, ls, peers};
