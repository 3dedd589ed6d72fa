"""`fedsim new` and `fedsim check`: what they print, and settings by `--set`."""

from command_line import Fedsim


def test_new_says_what_was_written_and_what_is_next(fedsim: Fedsim) -> None:
    said = fedsim("new", "metric", "my-figure")
    assert (said.code, said.err) == (0, "")
    assert sorted(said.out.splitlines()) == [
        "  my-figure/README.md",
        "  my-figure/experiment.yaml",
        "  my-figure/my_figure.py",
        "  my-figure/pyproject.toml",
        "  my-figure/tests/test_my_figure.py",
        "next: cd my-figure, and read README.md: its three commands work",
    ]


def test_new_adversary_goes_by_its_position(fedsim: Fedsim) -> None:
    said = fedsim("new", "adversary", "nosy-peer", "--position", "participant", "--out", "p")
    assert said.code == 0
    assert "next: cd p, and read README.md: its three commands work" in said.out.splitlines()
    again = fedsim("new", "adversary", "nosy-peer", "--position", "participant", "--out", "p")
    assert (again.code, again.err) == (
        2,
        "fedsim: p is not empty, and nothing is overwritten; choose another --out\n",
    )


def test_check_reads_settings_as_yaml(fedsim: Fedsim) -> None:
    said = fedsim("check", "tpr", "--kind", "metrics", "--set", "fpr=0.1")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == "tpr as one of the metrics:"
    assert "✓ has a name, and gives a finite figure" in lines
    wrong = fedsim("check", "tpr", "--set", "fpr")
    assert (wrong.code, wrong.err) == (2, "fedsim: --set 'fpr' is not of the form name=value\n")
