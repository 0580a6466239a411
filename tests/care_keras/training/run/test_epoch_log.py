import types

import pytest

from care_keras.training.run.epoch_log import EpochLog, read_log

FIGURES = [
    {"loss": 2.5, "accuracy": 0.25},
    {"loss": 1.5, "accuracy": 0.5, "val_loss": 1.75, "val_accuracy": 0.375},
    {"loss": 1.25, "accuracy": 0.625},
]


def log_to(path):
    log = EpochLog(path, batch_size=8)
    log.set_model(types.SimpleNamespace(optimizer=types.SimpleNamespace(learning_rate=0.125)))
    return log


def write_epochs(log, epochs):
    for epoch in epochs:
        log.on_epoch_begin(epoch)
        for step in range(3):
            log.on_train_batch_end(step, {"loss": 9.0})
        log.on_epoch_end(epoch, FIGURES[epoch])


def figures_of(rows):
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows
    ]


EXPECTED = [
    {"epoch": epoch + 1, "learning_rate": 0.125, **figures} for epoch, figures in enumerate(FIGURES)
]


def test_a_row_for_each_epoch(tmp_path):
    path = tmp_path / "log.csv"
    write_epochs(log_to(path), range(3))
    rows = read_log(path)
    assert figures_of(rows) == EXPECTED
    assert all(row["images_per_second"] > 0 and row["seconds"] >= 0 for row in rows)
    header = path.read_text().splitlines()[0]
    assert header == (
        "epoch,learning_rate,loss,accuracy,images_per_second,seconds,val_loss,val_accuracy"
    )


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_goes_on_from_an_earlier_epoch(tmp_path, epochs):
    path = tmp_path / "log.csv"
    # A kill between the row of an epoch and its checkpoint leaves a row too many.
    write_epochs(log_to(path), range(epochs + 1))
    log = log_to(path)
    log.keep(epochs)
    write_epochs(log, range(epochs, 3))
    assert figures_of(read_log(path)) == EXPECTED


def test_rows_that_are_none(tmp_path):
    path = tmp_path / "log.csv"
    assert read_log(path) == []
    path.write_text("epoch,loss\n1,0.5\n2,x\n,0.5\n3,0.25,7,7\n4,\n")
    assert read_log(path) == [{"epoch": 1, "loss": 0.5}, {"epoch": 4}]
    path.write_bytes(bytes(range(256)))
    assert read_log(path) == []


@pytest.mark.parametrize("epoch", ["inf", "nan", "1e400", "-", "", "9" * 5000])
def test_an_epoch_that_is_no_number(tmp_path, epoch):
    path = tmp_path / "log.csv"
    path.write_text(f"epoch,loss\n1,2.5\n{epoch},2.0\n3,inf\n")
    assert [row["epoch"] for row in read_log(path)] == [1, 3]
