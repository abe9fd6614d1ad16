"""The hash of the code behind a stage's numbers."""

from __future__ import annotations

from kdsuite import paths
from kdsuite.runs import sources

SOURCE = 'X = 1\n\n\ndef f(x):\n    """Say."""\n    return x + X\n'


def test_comments_docstrings_and_layout_are_no_change_of_meaning():
    same = '"""A module."""\nX = 1  # why\ndef f(x):\n    # so\n    return (x + X)\n'
    assert (
        sources.meaning(SOURCE)
        == sources.meaning(same)
        != sources.meaning(SOURCE.replace("x + X", "x - X"))
    )


def test_a_function_of_nothing_but_its_docstring_has_a_meaning():
    assert sources.meaning('def f():\n    """Say."""\n') == sources.meaning("def f():\n    pass\n")


def test_a_meaning_is_the_same_under_every_python():
    """Syntax trees of Python 3.12 have fields that those of 3.11 have not, and nothing in them."""
    arguments = "arguments(args=[arg(arg='x')], kwonlyargs=[arg(arg='y'), arg(arg='z')], kw_defaults=[None, Constant()])"
    returned = (
        "Tuple(elts=[Constant(value=0), Name(id='y', ctx=Load()), Tuple(ctx=Load())], ctx=Load())"
    )
    expected = f"Module(body=[FunctionDef(name='f', args={arguments}, body=[If(test=Name(id='x', ctx=Load()), body=[Return()]), Return(value={returned})])])"
    assert (
        sources.meaning("def f(x, *, y, z=None):\n    if x:\n        return\n    return 0, y, ()\n")
        == expected
    )


def test_each_stage_has_its_code(tmp_path, monkeypatch):
    for name in {
        name for names in (*sources.TRAINING.values(), *sources.SCORING.values()) for name in names
    }:
        file = tmp_path / name if name.endswith(".py") else tmp_path / name / "network.py"
        assert (paths.CODE / name).exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(SOURCE)
    monkeypatch.setattr(paths, "CODE", tmp_path)

    def prints():
        sources.read.cache_clear()
        sources.fingerprint.cache_clear()
        return [sources.fingerprint(stage) for stage in ("teacher", "student", "undistilled")]

    def of_results():
        sources.read.cache_clear()
        sources.fingerprint.cache_clear()
        return [sources.fingerprint(stage, scored=True) for stage in ("data", "teacher", "student")]

    before = prints()
    (tmp_path / "kdlib" / "losses.py").write_text(SOURCE.replace("+", "*"))
    # a process tells the code of its beginning, for results too, which it writes at its end
    edited = sources.fingerprint("student", scored=True)
    (tmp_path / "kdlib" / "losses.py").write_text(SOURCE)
    of_results()
    assert sources.fingerprint("student", scored=True) == edited
    (tmp_path / "kdlib" / "losses.py").write_text(SOURCE.replace("+", "*"))
    losses = prints()
    assert losses[0] == before[0] and losses[1] != before[1] and losses[2] != before[2]
    (tmp_path / "kdlib" / "teacher.py").write_text(SOURCE.replace("+", "*"))
    before, losses = losses, prints()
    assert (
        losses[0] != before[0] and losses[1] != before[1] and losses[2] == before[2]
    )  # nobody taught the undistilled student
    (tmp_path / "kdlib" / "models" / "network.py").write_text(SOURCE.replace("+", "*"))
    assert all(now != then for now, then in zip(prints(), losses))
    trained, results = prints(), of_results()
    (tmp_path / "kdsuite/data/verification.py").write_text(SOURCE.replace("+", "*"))
    assert [now != then for now, then in zip(of_results(), results)] == [
        True,
        False,
        True,
    ] and prints() == trained
    results = of_results()
    (tmp_path / "kdsuite/runs/baseline.py").write_text(SOURCE.replace("+", "*"))
    assert [now != then for now, then in zip(of_results(), results)] == [
        True,
        False,
        False,
    ] and prints() == trained
    monkeypatch.setattr(sources, "STORE_FORMAT", sources.STORE_FORMAT + 1)
    assert all(now != then for now, then in zip(of_results(), results)) and prints() == trained
    sources.read.cache_clear()
    sources.fingerprint.cache_clear()
