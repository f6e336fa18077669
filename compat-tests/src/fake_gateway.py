"""A router with UPnP, as far as port mappings need one: SSDP, a description, and SOAP. Writes what it is asked, a line of JSON each.

Arguments: its address; optionally the error code with which it refuses leases that end, or "silent" for no answer at all.
"""
import http.server
import json
import re
import socket
import struct
import sys
import threading

IP = sys.argv[1]
REFUSAL = sys.argv[2] if len(sys.argv) > 2 else None
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
DEVICE = "urn:schemas-upnp-org:device:%s:1"

DESCRIPTION = f"""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>0</minor></specVersion>
<device><deviceType>{DEVICE % 'InternetGatewayDevice'}</deviceType><friendlyName>Fake</friendlyName>
<deviceList><device><deviceType>{DEVICE % 'WANDevice'}</deviceType>
<deviceList><device><deviceType>{DEVICE % 'WANConnectionDevice'}</deviceType>
<serviceList><service><serviceType>{SERVICE}</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<controlURL>/ctl/IPConn</controlURL><eventSubURL>/evt/IPConn</eventSubURL><SCPDURL>/WANIPCn.xml</SCPDURL></service></serviceList>
</device></deviceList></device></deviceList></device></root>"""


def say(**event):
    print(json.dumps(event), flush=True)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(200 if self.path == "/root.xml" else 404, DESCRIPTION)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        value = lambda name: (re.search(f"<{name}>(.*?)</{name}>", body) or [None, None])[1]
        action = self.headers["SOAPAction"]
        seconds = value("NewLeaseDuration")
        say(event="request", action=action.strip('"').split("#")[-1], well_formed=action.startswith(f'"{SERVICE}#'),
            path=self.path, protocol=value("NewProtocol"), external=value("NewExternalPort"),
            internal=value("NewInternalPort"), client=value("NewInternalClient"), lease=seconds)
        if REFUSAL == "silent":
            threading.Event().wait()
        elif REFUSAL and seconds not in (None, "0"):
            self.answer(500, "<s:Envelope><s:Body><s:Fault><detail><UPnPError>"
                             f"<errorCode>{REFUSAL}</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>")
        else:
            self.answer(200, "<s:Envelope><s:Body/></s:Envelope>")

    def log_message(self, *_):
        pass


def ssdp():
    answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answers.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    answers.bind(("", 1900))
    group = struct.pack("4s4s", socket.inet_aton("239.255.255.250"), socket.inet_aton(IP))
    answers.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    # a stranger on this host points elsewhere, and to nothing; from another port than a gateway's
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.bind((IP, 0))
    say(event="ready")
    while True:
        request, who = answers.recvfrom(2048)
        target = re.search(rb"ST: *(\S+)", request)
        if not request.startswith(b"M-SEARCH") or not target:
            continue
        say(event="search", target=target[1].decode())
        head = f"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {target[1].decode()}\r\nEXT:\r\n"
        for location in ("http://127.0.0.1:1/", "http://10.77.0.250:5000/root.xml", "file:///etc/hosts"):
            stranger.sendto(f"{head}LOCATION: {location}\r\n\r\n".encode(), who)
        stranger.sendto(b"\xff" * 1500, who)
        answers.sendto(f"{head}LOCATION: http://{IP}:5000/root.xml\r\n\r\n".encode(), who)


web = http.server.ThreadingHTTPServer((IP, 5000), Web)
threading.Thread(target=web.serve_forever, daemon=True).start()
ssdp()
