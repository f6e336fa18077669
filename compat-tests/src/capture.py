# What leaves this host, a line for each new conversation: PROTOCOL DESTINATION PORT. ARP and IPv6's own housekeeping
# (ICMPv6) are the kernel's and left out.
import socket
import struct

ETH_P_ALL, OUTGOING = 3, 4
PORTS = {6: "tcp", 17: "udp"}
seen = set()
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
packets.bind(("eth0", 0))
print("capturing", flush=True)
while True:
    frame, address = packets.recvfrom(65535)
    if address[2] != OUTGOING or len(frame) < 34:
        continue
    kind = frame[12:14]
    if kind == b"\x08\x00":
        start = 14 + 4 * (frame[14] & 15)
        protocol, to = frame[23], socket.inet_ntop(socket.AF_INET, frame[30:34])
    elif kind == b"\x86\xdd" and len(frame) >= 54:
        start = 54
        protocol, to = frame[20], socket.inet_ntop(socket.AF_INET6, frame[38:54])
        if protocol not in PORTS:
            continue
    else:
        continue
    port = 0
    if protocol in PORTS and len(frame) >= start + 4:
        port = struct.unpack("!H", frame[start + 2 : start + 4])[0]
    line = f"{PORTS.get(protocol, protocol)} {to} {port}"
    if line not in seen:
        seen.add(line)
        print(line, flush=True)
