# libtorrent with its default settings: TORRENT DIRECTORY [LISTEN|- [tcp] [nopex]]. It says when it has everything, and goes on
# seeding until SIGTERM, after which it writes what it still holds.
import signal
import sys
import time

import libtorrent as lt

torrent, directory = sys.argv[1:3]
settings = {"alert_mask": lt.alert.category_t.error_notification}
if sys.argv[3:4] not in ([], ["-"]):
    settings["listen_interfaces"] = sys.argv[3]
if "tcp" in sys.argv[4:]:
    settings["enable_outgoing_utp"] = settings["enable_incoming_utp"] = False
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
session = lt.session(settings)
parameters = lt.add_torrent_params()
parameters.ti = lt.torrent_info(torrent)
parameters.save_path = directory
if "nopex" in sys.argv[4:]:
    parameters.flags |= lt.torrent_flags.disable_pex
handle = session.add_torrent(parameters)
said = False
while not ended:
    for alert in session.pop_alerts():
        print(alert.message(), flush=True)
    if not said and handle.status().is_seeding:
        print("netlab: has everything", flush=True)
        said = True
    time.sleep(0.02)
# its end waits for the disk
del handle, session
