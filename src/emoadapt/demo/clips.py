"""Writing the demo's clips: one file per plan, each of which carries the digest of its plan."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.demo.plan import PlannedClip, digest_plan, name_media, plan_clips
from emoadapt.machine.run import refuse_ended_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


STAMP = "emoadapt demo clip "
"""Beginning of the container's comment; the plan's digest follows."""

_OURS = re.compile(r"\.?voice\d+_s\d+_[a-z]+\.(mp4|wav)(\.part)?")


def make_corpus(
    config: Any,
    root: Path,
    only: set[str] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the clips of a demo corpus that are not there yet, and remove those that are no longer planned.

    A clip is kept if its file carries the digest of its plan. Files appear whole or not at all, and several
    processes may make different parts of a corpus in the same folder.

    Args:
        config: the corpus's section.
        root: folder to write to; made if it is missing. Files that were not made here are left alone.
        only: stems to make; None = all.
        workers: threads.
        progress: called with (clips done, clips to make) after each.

    Raises:
        ConfigError: as `plan_clips`.
        ModelError: espeak-ng cannot be loaded.
    """
    video = "video" in config.modalities
    plan = {name_media(clip, config): clip for clip in plan_clips(config)}
    root.mkdir(parents=True, exist_ok=True)
    _remove_unplanned(root, set(plan))
    digests = {name: digest_plan(clip, video=video) for name, clip in plan.items() if only is None or clip.stem in only}
    wanted = [name for name, digest in digests.items() if read_stamp(root / name) != digest]
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        jobs = [pool.submit(_make_clip, plan[name], root / name, digests[name]) for name in wanted]
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                job.result()
                if progress is not None:
                    progress(done, len(wanted))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def read_stamp(path: Path) -> str | None:
    """Digest of the plan that a clip was made from; None if there is no such file or it was not made here."""
    import av

    try:
        with av.open(str(path)) as container:
            comment = container.metadata.get("comment", "")
    except (av.FFmpegError, OSError):
        return None
    return comment.removeprefix(STAMP) if comment.startswith(STAMP) else None


def _remove_unplanned(root: Path, planned: set[str]) -> None:
    for path in root.iterdir():
        name = path.name.removeprefix(".").removesuffix(".part")
        if name in planned or not _OURS.fullmatch(path.name):
            continue
        if path.name.endswith(".part") or read_stamp(path) is not None:
            path.unlink(missing_ok=True)


def _make_clip(clip: PlannedClip, path: Path, digest: str) -> None:
    from emoadapt.demo.speech import SAMPLE_RATE, speak_clip

    samples = speak_clip(clip)
    part = path.with_name(f".{path.name}.part")
    if path.suffix == ".mp4":
        _write_video(part, clip, samples, SAMPLE_RATE, digest)
    else:
        _write_audio(part, samples, SAMPLE_RATE, digest)
    refuse_ended_run(path)
    part.replace(path)


def _write_video(path: Path, clip: PlannedClip, samples: NDArray[np.float32], sample_rate: int, digest: str) -> None:
    """H.264 (MPEG-4 where PyAV has no encoder for it) and AAC."""
    import av

    from emoadapt.demo.face import FRAME_RATE, FRAME_SIZE, draw_frames, measure_loudness

    # Without B-frames and macroblock trees, which make x264's output differ from run to run even on one thread.
    x264 = {"preset": "superfast", "crf": "23", "bf": "0", "mbtree": "0"}
    codec, options = ("libx264", x264) if "libx264" in av.codecs_available else ("mpeg4", {"qscale": "3"})
    with _open_output(path, "mp4", digest) as container:
        pictures = container.add_stream(codec, rate=FRAME_RATE, options={**options, "threads": "1"})
        pictures.width = pictures.height = FRAME_SIZE
        pictures.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=sample_rate, layout="mono", options={"b": "64k"})
        for frame in draw_frames(clip, measure_loudness(samples, sample_rate)):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(pictures.encode())
        container.mux(sound.encode(_frame_audio(samples, "fltp", sample_rate)))
        container.mux(sound.encode())


def _write_audio(path: Path, samples: NDArray[np.float32], sample_rate: int, digest: str) -> None:
    """16-bit WAV."""
    with _open_output(path, "wav", digest) as container:
        sound = container.add_stream("pcm_s16le", rate=sample_rate, layout="mono")
        container.mux(sound.encode(_frame_audio((samples * 32767).astype("int16"), "s16", sample_rate)))
        container.mux(sound.encode())


def _frame_audio(samples: NDArray[Any], sample_format: str, sample_rate: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(samples[None], format=sample_format, layout="mono")
    frame.sample_rate = sample_rate
    return frame


def _open_output(path: Path, container_format: str, digest: str) -> Any:
    import av

    # bitexact: no creation date, no library version.
    container = av.open(str(path), "w", format=container_format, container_options={"fflags": "+bitexact"})
    container.metadata["comment"] = STAMP + digest
    return container
