import pytest

from tests.needed import need_package
from tests.tflite.dense_models import DATA, write_dense_model


@pytest.fixture(scope="package", params=DATA)
def made(request, dense_folder, tmp_path_factory):
    """Task, its .keras file, its int8 file, and data of its kind."""
    need_package("pycocotools", "detection")
    folder = tmp_path_factory.mktemp(request.param)
    photos = dense_folder / "bccd" / "images"
    return (
        request.param,
        *write_dense_model(request.param, folder, photos),
        dense_folder / DATA[request.param],
    )
