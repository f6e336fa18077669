# libtorrent makes a torrent: SOURCE TORRENT TRACKER KIND, where KIND is "padded" (v1, BEP 47) or "hybrid" (v1 and v2).
import os
import sys

import libtorrent as lt

source, torrent, tracker, kind = sys.argv[1:5]
files = lt.file_storage()
lt.add_files(files, source)
flags = lt.create_torrent.v1_only | lt.create_torrent.canonical_files if kind == "padded" else 0
made = lt.create_torrent(files, 65536, flags)
made.add_tracker(tracker)
lt.set_piece_hashes(made, os.path.dirname(source))
with open(torrent, "wb") as out:
    out.write(lt.bencode(made.generate()))
info = lt.torrent_info(torrent)
print(info.info_hashes().v1, sum(1 for i in range(info.num_files()) if info.files().file_flags(i) & lt.file_flags_t.flag_pad_file))
# clients that do not know padding serve these as files
for i in range(info.num_files()):
    if info.files().file_flags(i) & lt.file_flags_t.flag_pad_file:
        path = os.path.join(os.path.dirname(source), info.files().file_path(i))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as pad:
            pad.truncate(info.files().file_size(i))
