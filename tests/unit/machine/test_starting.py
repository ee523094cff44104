"""Quick starts of processes."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from emoadapt.machine.starting import hidden


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_hidden_library_cannot_be_imported_and_is_there_afterwards() -> None:
    with hidden("antigravity"), pytest.raises(ModuleNotFoundError, match="antigravity"):
        importlib.import_module("antigravity")
    assert importlib.util.find_spec("antigravity")


def test_a_library_that_is_imported_already_is_not_hidden() -> None:
    with hidden("json"):
        assert importlib.import_module("json").loads("1") == 1


def test_tables_are_written_and_read_without_pandas_and_given_to_it_all_the_same() -> None:
    """Symptom: Arrow imported pandas, for half a second, in every job."""
    run(
        "import sys, tempfile, pathlib\n"
        "from emoadapt import schema\n"
        "from emoadapt.storage.frames import read_frame\n"
        "from emoadapt.storage.tables import read_table, write_table\n"
        "path = pathlib.Path(tempfile.mkdtemp(), 'a.parquet')\n"
        "row = {'utterance_id': 'c/a', 'label': 'x', 'partition': 0, 'fold': 0, 'resampling': 0}\n"
        "write_table(path, [row], schema.SUBSETS)\n"
        "table = read_table(path, schema.SUBSETS)\n"
        "assert read_frame(path).height == 1\n"
        "assert not {'pandas', 'pyarrow.dataset', 'pyarrow.compute'} & set(sys.modules), sorted(sys.modules)\n"
        "assert table.to_pandas()['label'].tolist() == ['x']\n"
        "import pandas, pyarrow\n"
        "assert pyarrow.array(pandas.Series([1.0, None])).null_count == 1\n"
    )


def test_scikit_learn_needs_no_pandas() -> None:
    run(
        "import sys\n"
        "from emoadapt.machine.starting import hidden\n"
        "with hidden('pandas'):\n"
        "    from sklearn.svm import SVC\n"
        "assert 'pandas' not in sys.modules\n"
        "assert SVC().fit([[0.0], [1.0]], ['a', 'b']).predict([[0.9]]).tolist() == ['b']\n"
    )


def test_garbage_is_searched_rarely_until_work_with_tensors_begins() -> None:
    run(
        "import gc\n"
        "from emoadapt.machine.starting import collect_as_usual, collect_rarely\n"
        "usual = gc.get_threshold()\n"
        "collect_rarely()\n"
        "assert gc.isenabled() and gc.get_threshold()[0] > 10 * usual[0]\n"
        "collect_as_usual()\n"
        "assert gc.get_threshold() == usual and gc.get_freeze_count()\n"
    )
