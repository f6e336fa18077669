# Nodes of the DHT: PORT ADDRESS..., one on each address; the first one is where the others join.
import sys
import time

import libtorrent as lt

port, addresses = sys.argv[1], sys.argv[2:]
sessions = [lt.session({
    "listen_interfaces": f"{address}:{port}", "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "dht_bootstrap_nodes": f"{addresses[0]}:{port}", "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False,
    "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.error_notification,
}) for address in addresses]
while True:
    for number, session in enumerate(sessions):
        for alert in session.pop_alerts():
            print(number, alert.message(), flush=True)
    time.sleep(0.1)
