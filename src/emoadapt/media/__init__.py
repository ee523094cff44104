"""Decoding of clips with PyAV: audio to 16 kHz mono int16, video to RGB frames; no temporary files.

Times are seconds from where a player shows 0:00, which is the start of the container. Every sample and every picture lies where its
time stamp says. A fault of the file is a `ClipError`; a fault of the machine (disk error, out of memory or of file handles)
is raised as it is.

Codes of the faults:

* `file_missing`, `unreadable` (no permission, or a symbolic link that leads back to itself), `undecodable` (empty,
  damaged, no media, of an unknown codec, a list of other files, or a WAV file with several `data` chunks);
* `too_long`: more than the caller takes. Found by what the file declares, before anything is decoded, and by what is decoded
  where it declares nothing or too little;
* `truncated`: decoding broke off after it had begun, or the file ends before its header says so (`emoadapt.media.complete`). Such a
  clip is set aside as a whole, since what its label was given for may be in the part that is lost. Faulty packets before the
  first good one are passed over, as players do, because a stream may be cut anywhere;
* `not_finite`, `float_scale`: floating-point audio that holds NaN or infinities, or integers (full scale is 1);
* `empty_audio`, `empty_video`: nothing between start and end;
* `no_audio_stream`, `no_video_stream`, `still_image` (a single picture, cover art included): the modality is absent.

Codes of the notes on clips that are used:

* `several_tracks`: there are several audio or video tracks; the default one is used, as by a player, else the first one;
* `stale_header`: a file of chunks (WAV, AIFF, CAF, Wave64, VOC) has data behind the samples that its header counts; only the
  counted ones are used, as by a player;
* `joined_file`: a second file was joined to the first; it is not read;
* `hole_filled`, `overlap_cut`, `clock_restart`: see `emoadapt.media.clock` for sound, `emoadapt.media.pictures` for pictures;
* `held_picture`: no picture begins in the segment; the one before it, which is on show meanwhile, is given;
* `segment_before`, `segment_beyond`: the pictures of the file begin well after the segment does, or end well before it;
* `open_end`: no page of an Ogg file ends its stream, as some recorders and live streams leave it.
"""

from emoadapt.media.audio import Piece, Recording, decode_audio, iterate_audio, read_recording
from emoadapt.media.containers import open_container
from emoadapt.media.levels import examine
from emoadapt.media.log import Log
from emoadapt.media.video import iterate_frames

__all__ = [
    "Log",
    "Piece",
    "Recording",
    "decode_audio",
    "examine",
    "iterate_audio",
    "iterate_frames",
    "open_container",
    "read_recording",
]
