//! libtorrent, driven by a Python program.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use super::{At, Job, Setup, Transport};
use crate::Proc;

/// Its version; `None` when the Python module is not installed.
pub(super) fn version() -> Option<String> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        let program = "import libtorrent; print(libtorrent.__version__)";
        let out = Command::new("python3")
            .args(["-c", program])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        out.status.success().then_some(text)
    };
    VERSION.get_or_init(ask).clone()
}

/// Starts it; it dials `peers`, HOST:PORT, besides those it finds.
pub fn start(setup: &Setup<'_>, job: &Job, peers: &[String]) -> Proc {
    let (tcp, utp) = (
        setup.transport != Transport::Utp,
        setup.transport != Transport::Tcp,
    );
    let interfaces = match setup.at {
        At::Host(_) => format!("0.0.0.0:{0},[::]:{0}", setup.port),
        at => at.with_port(setup.port),
    };
    let nodes: Vec<String> = setup.dht.iter().map(ToString::to_string).collect();
    let mut settings = json!({
        "listen_interfaces": interfaces,
        "enable_dht": !setup.dht.is_empty(), "enable_lsd": setup.lsd, "enable_upnp": false, "enable_natpmp": false,
        "enable_incoming_tcp": tcp, "enable_outgoing_tcp": tcp,
        "enable_incoming_utp": utp, "enable_outgoing_utp": utp,
        "allow_multiple_connections_per_ip": setup.at.is_loopback(),
        "dht_bootstrap_nodes": nodes.join(","),
    });
    if setup.require_encryption {
        for (key, value) in [
            ("in_enc_policy", 0),
            ("out_enc_policy", 0),
            ("allowed_enc_level", 2),
        ] {
            settings[key] = json!(value);
        }
    }
    let what = json!({
        "settings": settings, "source": job.source, "directory": job.data, "pex": setup.pex, "slow": setup.slow,
        "files": job.files, "peers": peers, "resume": setup.home().join("resume"),
    });
    let mut command = setup.at.command("python3");
    command
        .args(["-W", "ignore", "-c", include_str!("libtorrent.py")])
        .arg(what.to_string());
    Proc::spawn(&setup.name, &setup.dir, &mut command)
}
