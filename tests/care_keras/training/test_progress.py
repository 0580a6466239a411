import re

from care_keras.training.progress import ProgressLines


def test_lines_of_steps_and_epochs(capsys):
    progress = ProgressLines(steps_per_epoch=5, batch_size=8, every=2)
    progress.on_epoch_begin(3)
    for step in range(5):
        progress.on_train_batch_end(step, {"loss": 1.23456 - step})
    progress.on_epoch_end(3, {"loss": 0.5, "val_loss": 0.25})
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"epoch 4 step 2/5 loss=0\.2346 \(\d+ images/s\)", lines[0])
    assert re.fullmatch(r"epoch 4 step 4/5 loss=-1\.7654 \(\d+ images/s\)", lines[1])
    assert re.fullmatch(r"epoch 4 done in \d+ s: loss=0\.5000 val_loss=0\.2500", lines[2])
    assert len(lines) == 3
