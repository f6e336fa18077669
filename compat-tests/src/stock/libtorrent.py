# libtorrent on one torrent or magnet link, as the JSON object in the first argument says; it ends with SIGTERM.
import json
import os
import signal
import sys
import time

import libtorrent as lt

what = json.loads(sys.argv[1])
categories = lt.alert.category_t
mask = categories.error_notification | categories.peer_notification | categories.status_notification | categories.connect_notification
session = lt.session({"alert_mask": mask, **what["settings"]})
if os.path.exists(what["resume"]):
    with open(what["resume"], "rb") as saved:
        torrent = lt.read_resume_data(saved.read())
elif what["source"].startswith("magnet:"):
    torrent = lt.parse_magnet_uri(what["source"])
else:
    torrent = lt.add_torrent_params()
    torrent.ti = lt.torrent_info(what["source"])
torrent.save_path = what["directory"]
if not what["pex"]:
    torrent.flags |= lt.torrent_flags.disable_pex
if what["files"] is not None:
    torrent.file_priorities = [4 if i in what["files"] else 0 for i in range(torrent.ti.num_files())]
if what["slow"]:
    torrent.download_limit = 1000
handle = session.add_torrent(torrent)
for peer in what["peers"]:
    host, port = peer.rsplit(":", 1)
    handle.connect_peer((host.strip("[]"), int(port)))


def stop(*_):
    # as clients do it: pause, write down what there is, end
    session.pause()
    handle.save_resume_data(lt.save_resume_flags_t.save_info_dict)
    end = time.time() + 5
    while time.time() < end:
        for alert in session.pop_alerts():
            if isinstance(alert, lt.save_resume_data_alert):
                with open(what["resume"], "wb") as saved:
                    saved.write(lt.write_resume_data_buf(alert.params))
                sys.exit(0)
        time.sleep(0.05)
    sys.exit(1)


signal.signal(signal.SIGTERM, stop)
last = None
while True:
    status = handle.status()
    now = (str(status.state), round(status.progress, 2), status.num_peers)
    if now != last:
        print(*now, flush=True)
        last = now
    for alert in session.pop_alerts():
        print(alert.message(), flush=True)
    time.sleep(0.1)
