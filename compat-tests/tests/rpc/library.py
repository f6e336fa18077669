"""Drives a daemon through transmission-rpc; writes what its typed objects say, one JSON value a line.

library.py PORT HOME TORRENT MAGNET URL SEED...

SEED is the command of a seed that connects to the daemon.
"""

import json
import contextlib
import pathlib
import subprocess
import sys
import time

import transmission_rpc
from transmission_rpc.torrent import Torrent

PORT, HOME, TORRENT, MAGNET, URL, *SEED = sys.argv[1:]
HOME = pathlib.Path(HOME)
client = transmission_rpc.Client(host="127.0.0.1", port=int(PORT))

# times, rates and ways, and what came after rpc-version 16
VOLATILE = {
    "activity_date", "added_date", "start_date", "done_date", "edit_date", "id", "seconds_downloading",
    "seconds_seeding", "rate_download", "rate_upload", "eta", "eta_idle", "downloaded_ever", "uploaded_ever", "upload_ratio", "ratio",
    "peers", "peers_connected", "peers_from", "peers_getting_from_us", "peers_sending_to_us", "corrupt_ever",
    "tracker_stats", "trackers", "tracker_list", "torrent_file", "date_created", "creator", "file_count", "group",
    "percent_complete", "primary_mime_type", "availability", "queue_position", "desired_available", "available", "format_eta",
    "is_stalled", "have_unchecked", "manual_announce_time", "fields",
}


def plain(value):
    """JSON of a value of the library."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "fields"):
        return plain(value.fields)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def tell(what, value):
    print(json.dumps({what: plain(value)}, sort_keys=True))


def properties(torrent):
    """Every property of the typed object that can be compared: each one checks its field."""
    names = [n for n in dir(Torrent) if isinstance(getattr(Torrent, n), property) and n not in VOLATILE | {"into_hash"}]
    # the old names warn
    return {n: getattr(torrent, n) for n in names if n == n.lower()}


def wait(what, torrent, done):
    end = time.monotonic() + 150
    while time.monotonic() < end:
        now = client.get_torrent(torrent)
        if done(now):
            return now
        time.sleep(0.1)
    raise SystemExit(f"{what}: not in time: {now.fields}")


@contextlib.contextmanager
def seed():
    """A seed that is killed in the end."""
    process = subprocess.Popen(SEED, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


session = client.get_session()
tell("session", {n: getattr(session, n) for n in (
    "alt_speed_enabled", "alt_speed_time_begin", "alt_speed_time_day", "alt_speed_time_end", "dht_enabled", "download_dir",
    "download_queue_enabled", "download_queue_size", "idle_seeding_limit", "idle_seeding_limit_enabled",
    "incomplete_dir_enabled", "lpd_enabled", "peer_limit_per_torrent", "pex_enabled", "port_forwarding_enabled",
    "queue_stalled_enabled", "queue_stalled_minutes", "seed_queue_enabled", "seed_queue_size", "seed_ratio_limit",
    "seed_ratio_limited", "speed_limit_down", "speed_limit_down_enabled", "speed_limit_up", "speed_limit_up_enabled",
    "start_added_torrents", "trash_original_torrent_files", "utp_enabled", "rpc_version_minimum")})
tell("units", session.units)

with open(TORRENT, "rb") as file:
    added = client.add_torrent(file, paused=True, peer_limit=33, files_unwanted=[1], priority_high=[0], bandwidth_priority=1)
hash = added.hash_string
tell("added", {"name": added.name, "hash": hash})
again = client.add_torrent(pathlib.Path(TORRENT))
tell("again", again.id == added.id)
torrent = wait("at rest", hash, lambda t: t.status == "stopped")
tell("new", properties(torrent))
tell("files", torrent.get_files())
tell("file stats", torrent.file_stats)
tell("trackers", [{"announce": t.announce, "id": t.id, "scrape": t.scrape, "tier": t.tier} for t in torrent.trackers])
stats = torrent.tracker_stats[0]
tell("tracker", {n: getattr(stats, n) for n in (
    "announce", "has_announced", "is_backup", "last_announce_peer_count", "last_announce_result", "last_announce_succeeded",
    "last_announce_timed_out", "host", "tier", "id", "seeder_count", "leecher_count", "download_count", "has_scraped")})

client.change_torrent(
    hash, download_limit=4000, download_limited=True, upload_limit=90, files_wanted=[0, 1, 2, 3], labels=["films", "new"],
    seed_ratio_limit=3.25, seed_ratio_mode=1, seed_idle_limit=7, seed_idle_mode=2, honors_session_limits=False,
    priority_low=[1], peer_limit=20, bandwidth_priority=-1)
tell("changed", properties(client.get_torrent(hash)))
client.change_torrent(hash, tracker_add=["http://127.0.0.1:9/b/announce"])
client.change_torrent(hash, tracker_remove=[1])
tell("trackers", [t.announce.rsplit("/", 1)[1] for t in client.get_torrent(hash).trackers])
tell("hash", client.get_torrent(hash.upper().lower(), arguments=["name"]).fields["hashString"] == hash)

client.set_session(
    speed_limit_down=900, speed_limit_up=800, speed_limit_up_enabled=True, alt_speed_down=5, alt_speed_time_begin=77,
    download_queue_size=9, seed_queue_enabled=True, seed_ratio_limit=1.75, seed_ratio_limited=False,
    idle_seeding_limit=44, idle_seeding_limit_enabled=True, queue_stalled_minutes=12, start_added_torrents=False,
    peer_limit_per_torrent=55, peer_limit_global=222)
session = client.get_session()
tell("session", [
    session.speed_limit_down, session.speed_limit_down_enabled, session.speed_limit_up, session.speed_limit_up_enabled,
    session.alt_speed_down, session.alt_speed_time_begin, session.download_queue_size, session.seed_queue_enabled,
    session.seed_ratio_limit, session.seed_ratio_limited, session.idle_seeding_limit, session.idle_seeding_limit_enabled,
    session.queue_stalled_minutes, session.start_added_torrents, session.peer_limit_per_torrent, session.peer_limit_global])
client.set_session(speed_limit_up_enabled=False, idle_seeding_limit_enabled=False)

client.start_torrent(hash)
with seed():
    done = wait("complete", hash, lambda t: t.left_until_done == 0 and t.seeding)
tell("done", properties(done))
tell("wasted nothing", done.downloaded_ever >= done.total_size and done.done_date is not None)
active, removed = client.get_recently_active_torrents(arguments=["name"])
tell("active", [[t.name for t in active], removed])
client.stop_torrent(hash)
tell("stopped", properties(wait("stopped", hash, lambda t: t.status == "stopped")))
client.move_torrent_data(hash, str(HOME / "moved"))
moved = wait("moved", hash, lambda t: t.download_dir.endswith("/moved") and t.status == "stopped")
tell("moved", [moved.download_dir, (HOME / "moved/data/a.bin").is_file(), (HOME / "dl/data/a.bin").exists()])

other = client.add_torrent(URL, paused=True, download_dir=str(HOME / "dl"))
other = wait("other at rest", other.hash_string, lambda t: t.status == "stopped")
tell("other", properties(other))
client.queue_top(other.hash_string)
tell("queue", client.get_torrent(other.hash_string).queue_position)
client.queue_down(other.hash_string)
tell("queue", client.get_torrent(other.hash_string).queue_position)
stats = client.session_stats()
tell("stats", [stats.torrent_count, stats.paused_torrent_count, stats.active_torrent_count, stats.current_stats.session_count])
tell("free", client.free_space(str(HOME)) > 0)

client.remove_torrent([hash, other.hash_string], delete_data=True)
for _ in range(1500):
    if not client.get_torrents():
        break
    time.sleep(0.1)
tell("left", [t.name for t in client.get_torrents()])
_, removed = client.get_recently_active_torrents(arguments=["name"])
tell("removed", sorted(removed) == sorted([added.id, other.id]))

magnet = client.add_torrent(MAGNET, paused=False, download_dir=str(HOME / "again"))
with seed():
    tell("magnet", properties(wait(
        "magnet", magnet.hash_string,
        lambda t: t.metadata_percent_complete == 1 and t.left_until_done == 0 and t.seeding)))

try:
    client.add_torrent(b"nonsense")
    tell("no torrent", "added")
except transmission_rpc.TransmissionError as error:
    tell("no torrent", "refused")  # here it is said what is wrong with it

for what, wrong in (
    ("place", lambda: client.move_torrent_data(magnet.hash_string, "relative")),
    ("file", lambda: client.change_torrent(magnet.hash_string, files_wanted=[77])),
    ("labels", lambda: client.change_torrent(magnet.hash_string, labels=["a", "a"])),
):
    try:
        wrong()
        tell(what, "no error")
    except transmission_rpc.TransmissionError as error:
        tell(what, str(error).split('"')[1])
