import re

from care_keras.training.run.progress import Progress


def steps_of(progress, epoch=3):
    progress.on_epoch_begin(epoch)
    for step in range(5):
        progress.on_train_batch_end(step, {"loss": 1.23456 - step})
    progress.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 0.25})


def test_lines_of_steps_and_epochs(capsys):
    steps_of(Progress(steps_per_epoch=5, batch_size=8, every=2, terminal=False))
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"epoch 4 step 2/5 loss=0\.2346 \(\d+ images/s\)", lines[0])
    assert re.fullmatch(r"epoch 4 step 4/5 loss=-1\.7654 \(\d+ images/s\)", lines[1])
    assert re.fullmatch(r"epoch 4 done in \d+ s: loss=0\.5000 val_loss=0\.2500", lines[2])
    assert len(lines) == 3


def test_a_bar_in_a_terminal(capsys):
    steps_of(Progress(steps_per_epoch=5, batch_size=8, terminal=True))
    output = capsys.readouterr().err
    assert output.startswith("epoch 4\n")
    # The last step is always drawn, with its own loss and not a mean over those drawn.
    plain = re.sub("\x1b\\[[^m]*m", "", output)
    assert re.search(r"\r5/5 .* - loss: -2\.7654 - images/s: [\d.e+]+\n", plain)
    assert "epoch 4 done in" in output
