//! Every client at once.

use chunkcast_compat_tests::matrix::Role;
use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{At, Client, Job, OFF, Setup};
use chunkcast_compat_tests::wait_for;

use crate::cell::{Cell, Ended, NO_NETWORK, NO_TRACKER};

/// The cell's client has the data and all others fetch it, or ours has it and all stock clients fetch it: each on a host of
/// its own, with its default settings and one tracker.
pub(crate) fn swarm(cell: Cell) -> Ended {
    let lan = Lan::new("a swarm of all clients").ok_or(NO_NETWORK)?;
    let (tracker, us) = (lan.host("tracker"), lan.host("us"));
    let scene = Scene::new(At::Host(&tracker), Made::ByUs).ok_or(NO_TRACKER)?;
    let we_seed = cell.role == Role::Leeches;
    let _seed = we_seed.then(|| scene.we_seed(At::Host(&us)));
    let hosts: Vec<(Client, Host)> = (Client::ALL.into_iter())
        .filter(|client| client.version().is_some())
        .map(|client| (client, lan.host("stock")))
        .collect();
    let start = |client: Client, host: &Host, complete: bool| {
        let setup = Setup::all_on(scene.dir.path(), At::Host(host), client);
        let job = Job {
            source: scene.torrent(),
            data: if complete {
                scene.source()
            } else {
                setup.home().join("copy")
            },
            complete,
            files: None,
        };
        (client.start(&setup, &job), job.data)
    };
    let mut running = Vec::new();
    for (client, host) in &hosts {
        if !we_seed && *client == cell.client {
            running.push(start(*client, host, true).0);
            scene.announced(1, 0);
        }
    }
    let mut copies = Vec::new();
    for (client, host) in &hosts {
        if we_seed || *client != cell.client {
            let (process, copy) = start(*client, host, false);
            running.push(process);
            copies.push((client.name(), copy));
        }
    }
    if !we_seed {
        scene.we_get(At::Host(&us), &scene.torrent(), &OFF);
    }
    for (name, copy) in &copies {
        wait_for(&format!("{name} has everything"), DEADLINE, || {
            scene.is_equal(copy, None).then_some(())
        });
    }
    Ok(())
}
