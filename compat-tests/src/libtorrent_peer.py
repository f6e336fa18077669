# libtorrent with its default settings: SOURCE DIRECTORY get|seed. "get" ends when it has everything.
import sys
import time

import libtorrent as lt

source, directory, mode = sys.argv[1:4]
session = lt.session({"alert_mask": lt.alert.category_t.error_notification | lt.alert.category_t.peer_notification})
if source.startswith("magnet:"):
    torrent = lt.parse_magnet_uri(source)
else:
    torrent = lt.add_torrent_params()
    torrent.ti = lt.torrent_info(source)
torrent.save_path = directory
handle = session.add_torrent(torrent)
last = None
while True:
    status = handle.status()
    now = (str(status.state), round(status.progress, 2), status.num_peers)
    if now != last:
        print(*now, flush=True)
        last = now
    for alert in session.pop_alerts():
        print(alert.message(), flush=True)
    if mode == "get" and status.is_seeding:
        break
    time.sleep(0.1)
session.remove_torrent(handle)
del handle
del session
