"""Extensions of media files.

Files with these extensions count as media when a folder is listed. They are the extensions of the formats that `emoadapt.media`
reads: FFmpeg's own list, and some that it lacks. They are literals because importers load no decoder; a test compares them with
PyAV. Other files are counted as passed over. A file that a table or a command line names is read whatever its extension.
"""

from __future__ import annotations

_AUDIO = """
    .wav .wave .bwf .rf64 .w64 .aif .aiff .aifc .afc .au .snd .caf .flac .sph .nist .sox .ircam .voc .iff .8svx .svx
    .mp3 .mp2 .mpa .m2a .mpga .m4a .m4b .m4r .isma .mka .weba .ogg .oga .opus .spx .aac .adts .loas .latm .wma .ra
    .amr .awb .3ga .gsm .qcp .oma .omg .aa3 .ac3 .eac3 .ec3 .dts .dtshd .thd .mlp .ape .mpc .shn .tak .tta .wv .dsf
"""
_VIDEO = """
    .mp4 .m4v .mov .qt .mqv .f4v .ismv .mj2 .3gp .3gpp .3g2 .lrv .insv .mkv .mk3d .webm .avi .divx .asf .wmv .wm .dvr-ms .flv
    .mpg .mpeg .mpe .m1v .m2v .mpv .m2p .vob .tod .ts .mts .m2ts .m2t .trp .mxf .rm .rmvb .dv .dif .ivf .obu .wtv .ogv .ogx .ogm
    .h261 .263 .h263 .264 .h264 .h26l .avc .265 .h265 .hevc .mjpg .mjpeg .y4m
"""
AUDIO_EXTENSIONS = frozenset(_AUDIO.split())
VIDEO_EXTENSIONS = frozenset(_VIDEO.split())
MEDIA_EXTENSIONS = AUDIO_EXTENSIONS | VIDEO_EXTENSIONS
"""Lower case, with the dot."""

PICTURE_EXTENSIONS = frozenset({".avif", ".gif", ".heic", ".heif", ".mpo"})
"""FFmpeg's, of pictures: a folder holds them beside its clips. It lists none for PNG, JPEG and the like."""
AMBIGUOUS_EXTENSIONS = frozenset({".apl", ".ism", ".mac", ".mks", ".nut", ".psp", ".sf"})
"""FFmpeg's, that are far more often something else: source text (.apl, .nut), a server's manifest (.ism), Macintosh files (.mac),
subtitles (.mks), drawings (.psp), signatures (.sf). `.ts` is taken for media: what is TypeScript becomes a row `undecodable`.
`.mod` (old camcorders, but also Go modules and tracker music) and `.dat` are not."""
