"""The authors' checkpoints: what they are called, where they lie, how right they are said to be."""

import dataclasses
import os
import pathlib
import urllib.parse

# Where Hugging Face has the files of the authors' repository (MIT). The repository and its licence
# are known from its model card. The names of the files are those of the authors' own evaluation
# script, for the same checkpoints elsewhere. NEITHER THE NAMES NOR THE ADDRESSES WERE TRIED:
# `URL_VARIABLE` is the way out where they are others.
BASE_URL = "https://huggingface.co/YuanZ1995/CARE-Transformer/resolve/main"
URL_VARIABLE = "CARE_KERAS_WEIGHTS_URL"
# Endings of checkpoints, with which an address is that of a file and not of a folder.
_ENDINGS = (".pth.tar", ".pth", ".pt", ".safetensors")


@dataclasses.dataclass(frozen=True)
class Published:
    """A checkpoint that the authors published.

    Attributes:
        name: Name of the model with these weights, `"care_s0_imagenet"`.
        arch: Name of its config, `"s0"`.
        file: Name of the checkpoint.
        top1: Its published top-1 on ImageNet's validation set, from 0 to 1, rounded to 0.001.
    """

    name: str
    arch: str
    file: str
    top1: float

    @property
    def url(self) -> str:
        """Its address: in `BASE_URL`, or in what `URL_VARIABLE` says, a folder or the file itself.

        Raises:
            ValueError: If that is no address.
        """
        given = os.environ.get(URL_VARIABLE) or BASE_URL
        try:
            parts = urllib.parse.urlsplit(given)
        except ValueError as error:
            raise ValueError(f"{URL_VARIABLE} is no address. Received: {given!r}") from error
        if parts.path.endswith(_ENDINGS):
            return parts.geturl()
        return parts._replace(path=f"{parts.path.rstrip('/')}/{self.file}").geturl()

    @property
    def cached(self) -> pathlib.Path:
        """The `.keras` file that it becomes, in Keras's cache of models."""
        # As `keras.utils.get_file` has it; Keras is not loaded for it.
        home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
        return pathlib.Path(home) / "models" / f"{self.name}.keras"


# Top-1 as in arXiv 2411.16170, table 1.
PUBLISHED = {
    one.name: one
    for one in (
        Published("care_s0_imagenet", "s0", "CARETrans_S0.pth.tar", 0.784),
        Published("care_s1_imagenet", "s1", "CARETrans_S1.pth.tar", 0.801),
        Published("care_s2_imagenet", "s2", "CARETrans_S2.pth.tar", 0.821),
    )
}
