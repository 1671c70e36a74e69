"""What is said about the results: summary, findings, table, page, and the folder they go to."""

import io
import json

import pytest
from rich.console import Console

from keras_dlopt.demo import display, page, report, summary, tasks
from keras_dlopt.demo.display import Display

COUNTS = {"parameters": 1000, "nonzeros": 1000, "bytes": 8000, "gzip_bytes": 4000, "agreement": 1.0}
TIMES = {
    "seconds": 2.0,
    "milliseconds": 0.5,
    "faster_than_first": 1.0,
    "faster_than_float32": 1.0,
    "litert_accuracy": 0.9,
}


def seed(number, accuracy, reached=None, **changed):
    history = [{"epoch": e, "seconds": 1.0 * e, "val_accuracy": accuracy * e / 2} for e in (1, 2)]
    to_target = {"epochs_to_target": reached, "seconds_to_target": reached and 1.0 * reached}
    return {
        "seed": number,
        "accuracy": accuracy,
        "loss": 0.1,
        **COUNTS,
        **TIMES,
        **to_target,
        "history": history,
    } | changed


def rung(number, seeds, title=None, skipped=None, epochs_before=0):
    return {
        "number": number, "title": title or f"rung {number}", "adds": "Something.", "optimizer": "SGD",
        "options": {"momentum": 0.9}, "learning_rate": 0.1, "epochs": 2, "epochs_before": epochs_before,
        "needs": None, "skipped": skipped, "seeds": seeds, "summary": summary.summarize(seeds),
    }  # fmt: skip


def content(rungs, status="complete"):
    return {
        "program": report.PROGRAM, "status": status, "started": "2026-01-02T03:04:05+00:00", "seconds": 61.0,
        "cpu_seconds": 99.0, "planned": 10, "epochs": 2, "seeds": [0, 1], "learning_rates_from": "A search.",
        "task": {"name": "digits", "about": "Digits & more.", "unit": "image", "target": 0.9, "test_units": 500,
                 "rows": {"train": 10, "validation": 5, "test": 500}, "batch": 5},
        "machine": {"system": "Linux", "processor": "A <fast> one", "cores": 2}, "versions": {"python": "3.11.0"},
        "findings": summary.findings(rungs), "rungs": rungs,
    }  # fmt: skip


def test_summary_has_mean_sample_deviation_and_how_many():
    made = summary.summarize([seed(0, 0.9, reached=2), seed(1, 0.8), seed(2, 0.7, reached=1)])
    assert made["accuracy"]["mean"] == pytest.approx(0.8) and made["accuracy"]["deviation"] == pytest.approx(0.1)
    assert made["epochs_to_target"] == {"mean": 1.5, "deviation": pytest.approx(0.5**0.5), "of": 2}
    assert summary.summarize([])["accuracy"] == {"mean": None, "deviation": None, "of": 0}


def test_findings_say_what_the_numbers_say_whichever_way():
    student = {"parameters": 250, "gzip_bytes": 1000}
    rungs = [
        rung(5, [seed(0, 0.970)]),
        rung(6, [seed(0, 0.965)], title="New"),
        rung(8, [seed(0, 0.96, **student)]),
        rung(9, [seed(0, 0.95, **student | {"nonzeros": 50, "gzip_bytes": 400})]),
        rung(10, [seed(0, 0.955, parameters=250, gzip_bytes=100, faster_than_float32=2.5, faster_than_first=9.0)]),
    ]
    assert summary.findings(rungs) == [
        "New: -0.50 points of test accuracy against Adam in the same epochs.",
        "Pruned, 80 % of all weights are zero: -1.00 points; gzip makes the file 2.5 times smaller than the student's, "
        "but zeros alone make it no faster.",
        "In 8-bit integers: +0.50 points; 2.5 times faster than the same network in float32; Keras and LiteRT agree on "
        "100.00 % of the answers.",
        "From first to last: 40 times smaller (gzip), 9.0 times faster.",
    ]
    assert summary.findings([rung(5, []), rung(6, [seed(0, 0.9)])]) == []


def test_cells_say_never_and_how_many_seeds_reached_the_target():
    two = rung(9, [seed(0, 0.9, reached=2), seed(1, 0.8)], epochs_before=2)
    assert display.cells(two)[:5] == ["85.00 ± 7.07 %", "0.100", "2 + 2", "2 (1 of 2)", "2.0 (1 of 2)"]
    assert display.cells(two)[5:] == ["1,000", "1,000", "8,000", "4,000", "0.500", "1.00x"]
    assert display.cells(rung(1, [seed(0, 0.5)]))[:5] == ["50.00 %", "0.100", "2", "never", "never"]
    assert display.cells(rung(10, [], skipped="no"))[0] == "not done" and display.cells(rung(2, []))[0] == "..."
    assert {len(display.cells(r)) for r in (two, rung(2, []))} == {len(display.headings(content([]))) - 1}


def shown(terminal):
    text = io.StringIO()
    screen = Display(2, total=4, console=Console(file=text, force_terminal=terminal, width=100, highlight=False))
    done = rung(2, [seed(0, 0.9), seed(1, 0.8)], title="SGD")
    with screen:
        screen.begin(type("Rung", (), {"number": 2, "title": "SGD"}), 0)
        for epoch in range(2):
            screen.epoch(epoch, {"val_accuracy": 0.5})
            screen.bar.refresh()
        screen.finished(done)
        screen.finished(rung(10, [], title="+ int8", skipped="no [8-bit] form"))
    screen.table(content([done]))
    return text.getvalue()


def test_a_terminal_gets_a_bar_and_other_outputs_lines():
    assert "━" in shown(True) and "epoch 2/2, validation accuracy 50.0 %" in shown(True)
    plain = shown(False)
    assert "━" not in plain and "\x1b" not in plain
    first, second, *table = plain.splitlines()
    assert first == " 2 SGD                          test accuracy 85.00 ± 7.07 % 2 epochs in 2.0 s, mean of 2 seeds"
    assert second == "10 + int8                       not done: no [8-bit] form"
    assert any("85.00 ± 7.07 %" in line and "1.00x" in line for line in table)


def test_the_page_escapes_what_it_shows_and_says_when_it_is_partial():
    rungs = [rung(5, [seed(0, 0.9), seed(1, 0.8)]), rung(10, [], skipped="<no> form")]
    whole, partial = page.page(content(rungs)), page.page(content(rungs, "interrupted"))
    for text in (whole, partial):
        assert "Digits &amp; more." in text and "A &lt;fast&gt; one" in text and "not done: &lt;no&gt; form" in text
        assert "85.00 ± 7.07 %" in text and text.count("<svg") == 3
        assert "#0101" not in text and "#0a0b" not in text and "var(--ink)" in text and "var(--rung5)" in text
    assert "Partial report" not in whole
    assert "Partial report:</strong> the run was interrupted from the keyboard; 1 of 10 rungs are here" in partial
    assert "no rung was finished" in page.page(content([], "interrupted"))
    assert "the run goes on" in page.page(content([], "running"))


def test_an_earlier_demos_folder_is_cleared_of_its_models_and_logs_alone(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"program": report.PROGRAM}))
    for name in ("models/old.tflite", "logs/old/events", "mine/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("x")
    assert report.prepare(str(tmp_path)) == tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "report.json"]


def test_a_new_folder_is_made_and_a_foreign_one_refused(tmp_path):
    made = report.prepare(tmp_path / "a" / "b")
    assert made.is_dir() and not any(made.iterdir())
    (made / "models").mkdir()
    with pytest.raises(tasks.Unavailable, match="is not empty and holds no earlier demo: name another folder"):
        report.prepare(made)
    assert (made / "models").is_dir()
