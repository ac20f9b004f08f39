"""A film that is written keeps the sound of the film that was read, in time with its frames."""

from fractions import Fraction

import av
import numpy as np
import pytest

import video
from face68.frames import FilmReader, film_writer

SIZE, RATE, SECONDS, HERTZ = (64, 48), 25, 3, 48000
FLASH = 1.4  # seconds: a frame is white and a tone begins


@pytest.fixture(scope="module", params=["aac", "pcm_s16le"])
def talkie(request, tmp_path_factory):
    """A film of 3 s that is black but for 0.2 s, in which a tone sounds, as another program writes it."""
    path = tmp_path_factory.mktemp("sound") / "talkie.mov"
    return write_talkie(path, request.param)


def write_talkie(path, codec, late=0.0):
    """late: seconds by which the first frame comes after the first sound."""
    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream("mpeg4", RATE), container.add_stream(codec, HERTZ, layout="mono")
        pictures.width, pictures.height = SIZE
        pictures.codec_context.time_base = Fraction(1, RATE)
        for i in range(round(late * RATE), SECONDS * RATE):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255 * is_on(i / RATE), np.uint8))
            frame.pts = i
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        times = np.arange(SECONDS * HERTZ) / HERTZ
        wave = 0.5 * is_on(times) * np.sin(2 * np.pi * 1000 * times)
        samples = av.AudioFrame.from_ndarray((32767 * wave).astype(np.int16)[None], "s16", "mono")
        samples.sample_rate = HERTZ
        resampler = av.AudioResampler(sound.codec_context.format, "mono", HERTZ, sound.codec_context.frame_size or 1024)
        for frame in [*resampler.resample(samples), *resampler.resample(None)]:
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def is_on(time):
    return (time >= FLASH - 1e-6) & (time < FLASH + 0.2)


def tone_at(path) -> tuple[float, float]:
    """When the tone begins and how long the sound is, seconds after the first frame."""
    with av.open(str(path)) as film:
        pictures, sound = film.streams.video[0], film.streams.audio[0]
        begin = float(sound.start_time * sound.time_base - pictures.start_time * pictures.time_base)
        samples = np.concatenate([np.abs(frame.to_ndarray()).ravel() for frame in film.decode(sound)])
    loud = samples > 0.25 * samples.max()
    return begin + int(np.argmax(loud)) / HERTZ, begin + len(samples) / HERTZ


def flash_at(path) -> float:
    return next(frame.time for frame in FilmReader(path) if frame.image.mean() > 128)


@pytest.mark.parametrize(("start", "end", "every"), [(0.0, None, 1), (0.52, 2.4, 1), (0.5, None, 2)])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_sound_stays_with_its_frames(tmp_path, talkie, suffix, start, end, every):
    reader, path = FilmReader(talkie, start, end, every), tmp_path / f"a{suffix}"
    with film_writer(path, reader.rate, reader.size, reader.sound) as write:
        for frame in reader:
            write(frame.image, frame.time)
    tone, length = tone_at(path)
    assert tone == pytest.approx(FLASH - start, abs=0.03)  # a packet of AAC has 0.02 s
    assert flash_at(path) == pytest.approx(FLASH - start, abs=0.03 * every)
    assert length == pytest.approx((end or SECONDS) - start, abs=0.08)


def test_frames_that_begin_after_the_sound_keep_it_in_time(tmp_path):
    reader = FilmReader(write_talkie(tmp_path / "late.mov", "aac", late=0.6))
    with film_writer(tmp_path / "a.mp4", reader.rate, reader.size, reader.sound) as write:
        for frame in reader:
            write(frame.image, frame.time)
    assert tone_at(tmp_path / "a.mp4")[0] == pytest.approx(flash_at(tmp_path / "a.mp4"), abs=0.03)


def test_an_error_leaves_the_sound_so_far(tmp_path, talkie):
    reader = FilmReader(talkie)
    with pytest.raises(KeyboardInterrupt), film_writer(tmp_path / "a.mp4", RATE, SIZE, reader.sound) as write:
        for frame in reader:
            if frame.time >= 2:
                raise KeyboardInterrupt
            write(frame.image, frame.time)
    tone, length = tone_at(tmp_path / "a.mp4")
    assert tone == pytest.approx(FLASH, abs=0.03) and length == pytest.approx(2.0, abs=0.08)


def test_the_command_keeps_sound_and_says_where_it_can_not(in_process, tmp_path, talkie):
    """There is no face; the film has its sound all the same."""
    result = in_process(video.main, "--video", talkie, "--output", "a.mp4")
    assert result.returncode == 0 and "without sound" not in result.stdout
    assert tone_at(tmp_path / "a.mp4")[0] == pytest.approx(FLASH, abs=0.03)
    result = in_process(video.main, "--video", talkie, "--end", "0.2", "--output", "a.webp")
    assert result.returncode == 0 and "(without sound)" in result.stdout


def test_a_film_without_sound_has_none(in_process, tmp_path):
    with film_writer(tmp_path / "silent.mp4", RATE, SIZE) as write:
        write(np.zeros((48, 64, 3), np.uint8))
    assert FilmReader(tmp_path / "silent.mp4").sound is None
    result = in_process(video.main, "--video", "silent.mp4", "--output", "a.mp4")
    assert result.returncode == 0 and "(without sound)" in result.stdout
