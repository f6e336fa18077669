//! HTTPS: a .torrent file and a tracker behind TLS, with a certificate that the system trusts, and with one that it does not.

use std::process::Command;

use chunkcast_compat_tests::scene::DEADLINE;
use chunkcast_compat_tests::stock::ours;
use chunkcast_compat_tests::{
    ALONE, Proc, Scratch, chunkcast, create, installed, noise, scratch, wait_for, write,
};

/// A seed that no tracker knows of, and a server that names it.
struct Secure {
    dir: Scratch,
    server: Proc,
    _seed: Proc,
    port: String,
}

impl Secure {
    fn start() -> Option<Self> {
        let skipped = "trackers and torrents over HTTPS";
        if !installed("openssl", skipped) || !installed("python3", skipped) {
            return None;
        }
        let dir = scratch();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args([
                "-subj",
                "/CN=127.0.0.1",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])
            .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{made:?}");
        write(&dir.path().join("file.bin"), &noise(1, 600_000));
        let (file, plain) = (
            dir.path().join("file.bin"),
            dir.path().join("plain.torrent"),
        );
        create(&file, &plain, &["--piece-length", "64KiB"]);
        let args = ["seed", &path("plain.torrent"), "--data", &path("file.bin")];
        let seed = ours("seed", dir.path(), &args);
        let listen = wait_for("the seed listens", DEADLINE, || {
            let event = seed.events("metadata").pop()?;
            let listen = event["listen"].as_str()?.rsplit(':').next()?.to_owned();
            Some(listen)
        });
        let mut command = Command::new("python3");
        command
            .args(["-c", include_str!("../src/https_server.py")])
            .args([path("public"), path("cert.pem"), path("key.pem"), listen]);
        let server = Proc::spawn("https", dir.path(), &mut command);
        let port = wait_for("the server's port", DEADLINE, || {
            let log = server.log();
            let line = log.lines().find_map(|l| l.strip_prefix("port "))?;
            Some(line.to_owned())
        });
        let url = format!("https://127.0.0.1:{port}/announce");
        std::fs::create_dir_all(dir.path().join("public")).expect("a folder");
        let public = dir.path().join("public/t.torrent");
        create(
            &file,
            &public,
            &["--piece-length", "64KiB", "--tracker", &url],
        );
        Some(Self {
            dir,
            server,
            _seed: seed,
            port,
        })
    }

    fn get(&self, trusted: bool) -> Command {
        let mut command = Command::new(chunkcast());
        let url = format!("https://127.0.0.1:{}/t.torrent", self.port);
        command
            .args(["get", &url, "-o", "copy", "--json", "--no-dht"])
            .args(["--listen", "127.0.0.1:0", "--index-listen", "127.0.0.1:0"])
            .args(ALONE)
            .current_dir(self.dir.path());
        if trusted {
            command.env("SSL_CERT_FILE", self.dir.path().join("cert.pem"));
        }
        command
    }

    fn announces(&self) -> Vec<String> {
        let log = self.server.log();
        let said = log.lines().filter_map(|l| l.strip_prefix("announce "));
        said.map(str::to_owned).collect()
    }
}

#[test]
fn a_torrent_and_its_tracker_may_be_behind_tls() {
    let Some(secure) = Secure::start() else {
        return;
    };
    let mut get = Proc::spawn("get", secure.dir.path(), &mut secure.get(true));
    let status = get.wait(DEADLINE);
    assert!(status.success(), "{}{}", get.log(), secure.server.log());
    assert_eq!(secure.announces(), ["started", "completed", "stopped"]);
    let read = |name: &str| std::fs::read(secure.dir.path().join(name)).expect("a file");
    assert!(read("copy/file.bin") == read("file.bin"));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_named() {
    let Some(secure) = Secure::start() else {
        return;
    };
    let out = secure.get(false).output().expect("chunkcast runs");
    let line = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(4), "{line}");
    assert!(line.contains("certificate"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert_eq!(secure.announces(), Vec::<String>::new());
}
