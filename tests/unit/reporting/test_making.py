"""When, where and how long: shown, and never what decides a result."""

from emoadapt import __version__
from emoadapt.reporting.making import describe_making, list_times, print_time, sum_times

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write_benchmark(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + "".join(f"{s}\t0:00:01\t{rss}\t1\t1\t1\t0\t0\t90\t{cpu}\n" for s, rss, cpu in rows))


def test_times_are_sums_over_the_last_run_of_each_job(tmp_path):
    folder = tmp_path / "benchmarks"
    write_benchmark(folder / "audio/a/000.tsv", (10, 100, 5))
    write_benchmark(folder / "audio/a/001.tsv", (99, 900, 99), (20, 200, 15))
    write_benchmark(folder / "train/t/m.original/full/b000.tsv", (7200, 1000, 14000))
    (tmp_path / "runs/t/m.original/full/b000").mkdir(parents=True)
    write_benchmark(folder / "train/t/gone.original/full/b000.tsv", (9999, 9999, 9999))
    write_benchmark(folder / "audio/b/000.tsv", ("-", "-", "-"))
    write_benchmark(folder / "report.tsv", (5, 100, 5))
    times = {row["rule"]: row for row in sum_times(tmp_path).iter_rows(named=True)}
    assert list(times) == ["train", "audio"], "the report itself is not over yet"
    assert [times["audio"][name] for name in ("jobs", "seconds", "cpu_seconds")] == [3, 30, 20]
    assert list_times(tmp_path)["train"] == "1 job, 2.0 h, 3.9 h of processor time, at most 1,049 MB"
    assert describe_making(tmp_path)["time"].startswith(
        "Summed over 4 timed jobs of this folder: 2.0 h by the clock, however many ran side by side"
    )


def test_a_report_says_when_where_and_by_what_it_was_written(tmp_path):
    found = describe_making(tmp_path)
    assert found["code"].startswith(f"emoadapt {__version__}") and " core" in found["machine"]
    assert set(found) == {"written", "code", "machine"}, "no job was timed"


def test_durations_have_the_unit_that_fits():
    assert [print_time(s) for s in (3.2, 59.4, 60, 3599, 5400)] == ["3 s", "59 s", "1 min", "60 min", "1.5 h"]
