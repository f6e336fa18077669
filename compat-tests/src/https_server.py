# An HTTPS server on loopback: DIRECTORY CERTIFICATE KEY PEER_PORT. It gives out the directory's files, and is a tracker that
# knows one peer. It prints its port, and then a line for each announce.
import http.server
import ssl
import struct
import sys
import urllib.parse

directory, certificate, key, peer = sys.argv[1:5]
peers = bytes([127, 0, 0, 1]) + struct.pack("!H", int(peer))
answer = b"d8:intervali1800e5:peers6:" + peers + b"e"


class Server(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
        super().__init__(*args, directory=directory)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path != "/announce":
            return super().do_GET()
        said = urllib.parse.parse_qs(query, encoding="latin-1")
        print("announce", said.get("event", ["none"])[0], flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_address[1], flush=True)
server.serve_forever()
