use std::os::unix::fs::PermissionsExt;

use chunkcast::auth::seal::NetworkKey;
use chunkcast::node::Network;

use super::*;

fn tag() -> NetworkTag {
    NetworkTag::of(&Network::Open)
}

fn open(dir: &Path) -> Opened {
    State::open(dir, User::Node, tag()).expect("a directory of our own")
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn identity_survives_and_sequences_grow_even_when_the_clock_was_set_back() {
    let dir = temp();
    let first = open(dir.path());
    assert_eq!(first.warning, None);
    let mut saved = first.state.start.clone();
    saved.sequence = u64::MAX / 2; // the clock was far ahead
    saved.contacts = vec!["10.0.0.1:4240".parse().expect("an address")];
    let folder = first.state.folder.as_ref().expect("kept");
    folder.write(&saved).expect("written");
    drop(first);
    let second = open(dir.path()).state;
    assert_eq!((second.id(), second.secret()), (saved.id, saved.secret));
    assert!(second.sequence_base() > saved.sequence);
    assert_eq!(second.contacts(), saved.contacts);
}

#[test]
fn a_new_state_is_random_and_only_its_owner_reads_it() {
    let dir = temp();
    let state = open(&dir.path().join("a/b")).state;
    let other = State::ephemeral(tag());
    assert_ne!((state.id(), state.secret()), (other.id(), other.secret()));
    assert_eq!(other.control_path(), None);
    let node = dir.path().join("a/b/node");
    for (path, mode) in [(node.clone(), 0o700), (node.join("state"), 0o600)] {
        let found = fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(found & 0o777, mode, "{}", path.display());
    }
}

#[test]
fn a_second_process_gets_an_identity_of_its_own_and_other_commands_have_theirs() {
    let dir = temp();
    let first = open(dir.path());
    let second = open(dir.path());
    let warning = second.warning.expect("a line");
    assert!(matches!(warning, Warning::Taken { .. }), "{warning}");
    assert_ne!(second.state.id(), first.state.id());
    assert_eq!(second.state.control_path(), None);
    let seed = State::open(dir.path(), User::Seed, tag()).expect("opened");
    assert_eq!(seed.warning, None);
    assert_ne!(seed.state.id(), first.state.id());
    let id = first.state.id();
    drop(first);
    assert_eq!(open(dir.path()).state.id(), id);
}

#[test]
fn a_bad_file_is_set_aside_and_told_of() {
    for bytes in [&b""[..], b"\x7fELF something else", &[b'c'; 100_000]] {
        let dir = temp();
        fs::create_dir_all(dir.path().join("node")).expect("made");
        fs::write(dir.path().join("node/state"), bytes).expect("written");
        let opened = open(dir.path());
        let warning = opened.warning.expect("a line").to_string();
        assert!(warning.contains("state.bad"), "{warning}");
        let aside = fs::read(dir.path().join("node/state.bad")).expect("set aside");
        assert_eq!(aside, bytes);
        let id = opened.state.id();
        drop(opened.state);
        let again = open(dir.path());
        assert_eq!((again.state.id(), again.warning), (id, None));
    }
}

#[test]
fn what_a_crash_left_half_written_does_not_count() {
    let dir = temp();
    let id = open(dir.path()).state.id();
    fs::write(dir.path().join("node/state.new"), b"chunkcast-sta").expect("written");
    let again = open(dir.path());
    assert_eq!((again.state.id(), again.warning), (id, None));
}

#[test]
fn contacts_of_another_network_are_left_out() {
    let dir = temp();
    let first = open(dir.path()).state;
    let mut saved = first.start.clone();
    saved.contacts = vec!["10.0.0.1:4240".parse().expect("an address")];
    let folder = first.folder.as_ref().expect("kept");
    folder.write(&saved).expect("written");
    drop(first);
    let closed = NetworkTag::of(&Network::Closed(NetworkKey([1; 32])));
    let second = State::open(dir.path(), User::Node, closed).expect("opened");
    assert_eq!(second.state.id(), saved.id);
    assert!(second.state.contacts().is_empty());
}

#[test]
fn a_place_that_cannot_be_used_is_named_with_the_way_out() {
    let dir = temp();
    let file = dir.path().join("file");
    fs::write(&file, b"").expect("written");
    let error = State::open(&file, User::Node, tag()).expect_err("a file is no directory");
    let error = error.to_string();
    assert!(
        error.contains("file") && error.contains("--no-state"),
        "{error}"
    );
}

#[test]
fn restarts_in_a_row_do_not_run_away_from_the_clock() {
    let dir = temp();
    for _ in 0..20 {
        let base = open(dir.path()).state.sequence_base();
        assert!(base <= now_micros());
    }
}
