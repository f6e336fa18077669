//! What `node`, `get`, `seed` and `tracker` do with the index node's own flags: its identity, its control socket,
//! and its port at the router.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chunkcast::driver::lan::NetworkTag;
use chunkcast::node::Network;

use super::args::IndexArgs;
use super::exit::{Code, Failure};
use super::output::Reporter;
use crate::control::{Control, ControlError};
use crate::discovery::portmap::{LEASE, Protocol};
use crate::discovery::{DhtConfig, DhtNode, PortMapConfig, PortMapper, RendezvousConfig};
use crate::session::{IndexNode, IndexSettings};
use crate::state::{State, StateError, User, Warning, default_dir};

/// The settings that the flags ask for. A state directory that nobody named and that cannot be used is only warned of.
///
/// # Errors
/// Code 6 for a named state directory that cannot be used, 2 for what is no network key.
pub(super) fn settings(
    args: &IndexArgs,
    user: User,
    reporter: &Reporter,
) -> Result<IndexSettings, Failure> {
    let mut settings = IndexSettings {
        state: None,
        lan: !args.no_lan,
        network: args.key.network()?,
    };
    let named = args.state.is_some();
    let dir = args.state.clone().or_else(default_dir);
    let Some(dir) = dir.filter(|_| !args.no_state) else {
        return Ok(settings);
    };
    match opened(&dir, user, &settings.network, reporter) {
        Ok(state) => settings.state = Some(state),
        Err(e) if named => return Err(Failure::new(Code::Disk, e)),
        Err(e) => reporter.warning(&e.to_string()),
    }
    Ok(settings)
}

/// What the index node of `user` keeps in `dir`.
///
/// # Errors
/// When the directory cannot be made, read or written.
pub(super) fn opened(
    dir: &Path,
    user: User,
    network: &Network,
    reporter: &Reporter,
) -> Result<Arc<State>, StateError> {
    let opened = State::open(dir, user, NetworkTag::of(network))?;
    match &opened.warning {
        // it cannot start then, and says so
        Some(Warning::Taken { .. }) if user == User::Daemon => {}
        // downloads side by side are nothing unusual
        Some(taken @ Warning::Taken { .. }) if user != User::Node => tracing::info!("{taken}"),
        Some(warning) => reporter.warning(&warning.to_string()),
        None => {}
    }
    Ok(Arc::new(opened.state))
}

/// The control socket that a flag names, or the usual one. One that nobody named and that cannot be made is only warned of.
///
/// # Errors
/// For a named one: code 4 when it belongs to a running process, 6 when it cannot be made.
pub(super) fn control(
    named: Option<&Path>,
    settings: &IndexSettings,
    node: &IndexNode,
    reporter: &Reporter,
) -> Result<Option<Control>, Failure> {
    let usual = || settings.state.as_ref().and_then(|s| s.control_path());
    let Some(path) = named.map(Path::to_owned).or_else(usual) else {
        return Ok(None);
    };
    match Control::serve(&path, node.clone()) {
        Ok(control) => Ok(Some(control)),
        Err(e) if named.is_none() => {
            reporter.warning(&e.to_string());
            Ok(None)
        }
        Err(e @ ControlError::InUse(_)) => Err(Failure::new(Code::Network, e)),
        Err(e) => Err(Failure::new(Code::Disk, e)),
    }
}

/// For how long at a time the router is asked for ports, unless the flags forbid it.
pub(super) fn map_ports(args: &IndexArgs) -> Option<Duration> {
    let lease = args.upnp_lease.map(|s| Duration::from_secs(s.into()));
    (!args.no_upnp).then(|| lease.unwrap_or(LEASE))
}

/// Asks the router for the index node's port, unless the flags forbid it.
pub(super) fn map_port(args: &IndexArgs, node: &IndexNode) -> Option<PortMapper> {
    let listening = vec![(Protocol::Udp, node.local_addr())];
    map_ports(args).and_then(|lease| PortMapper::spawn(&PortMapConfig { listening, lease }))
}

/// A node of the Mainline DHT to meet others through, unless the flags forbid it.
pub(super) fn rendezvous(
    args: &IndexArgs,
    no_dht: bool,
    bootstrap: &[String],
    node: &IndexNode,
) -> Option<DhtNode> {
    if no_dht || args.no_rendezvous {
        return None;
    }
    let mut config = DhtConfig::default();
    if !bootstrap.is_empty() {
        config.bootstrap = bootstrap.to_vec();
    }
    let dht = DhtNode::spawn(config);
    node.meet_through(&dht, RendezvousConfig::default());
    Some(dht)
}
